/** Objects that are read in order, each by one stream that is kept open between the reads.
 *  Promises: reads of one object that begin in the order of their positions decompress nothing twice; a stream that is not read just
 *  now gives its memory to whoever needs it. */

import type { Pool } from '../../memory/pool.ts';
import { type ObjectAt, ObjectStream, type StreamParts } from './object-stream.ts';

interface Entry {
  tail: Promise<void>;
  busy: number;
  stream: ObjectStream | undefined;
}

export class ObjectStreams {
  readonly #parts: StreamParts;
  /** The first is the one used longest ago. */
  readonly #entries = new Map<string, Entry>();

  constructor(parts: StreamParts & { readonly pool: Pool }) {
    this.#parts = parts;
    parts.pool.addHolder(() => this.#giveBack());
  }

  /** Fills `output` with the bytes of the object at `position`. `reader`: who reads in an order of his own. */
  read(reader: string, at: ObjectAt, position: number, output: Uint8Array): Promise<void> {
    const name = `${reader} ${at.key}`;
    const entry = this.#entries.get(name) ?? { tail: Promise.resolve(), busy: 0, stream: undefined };
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    entry.busy += 1;
    const reading = entry.tail.then(() => this.#read(entry, at, position, output));
    const ended = () => {
      entry.busy -= 1;
      const isUseless = entry.stream === undefined || entry.stream.position === at.row.length;
      if (entry.busy === 0 && isUseless) this.#drop(name, entry);
    };
    entry.tail = reading.then(ended, () => {
      entry.stream?.close();
      entry.stream = undefined;
      ended();
    });
    return reading;
  }

  /** Lets go of every stream that is not read just now. */
  close(): void {
    while (this.#giveBack());
  }

  async #read(entry: Entry, at: ObjectAt, position: number, output: Uint8Array): Promise<void> {
    if (entry.stream !== undefined && entry.stream.position > position) {
      entry.stream.close();
      entry.stream = undefined;
    }
    const stream = entry.stream ?? (await ObjectStream.open(this.#parts, at));
    entry.stream = stream;
    await stream.skipTo(position);
    await stream.read(output);
  }

  #drop(name: string, entry: Entry): void {
    entry.stream?.close();
    entry.stream = undefined;
    if (this.#entries.get(name) === entry) this.#entries.delete(name);
  }

  #giveBack(): boolean {
    for (const [name, entry] of this.#entries) {
      if (entry.busy > 0 || entry.stream === undefined) continue;
      this.#drop(name, entry);
      return true;
    }
    return false;
  }
}
