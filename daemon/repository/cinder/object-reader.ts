/** Any bytes of any object, by the way that costs least.
 *
 *    small: decompressed whole, its MD5 checked    large, in order: by a stream that stays open
 *    large, here and there: raw from where it is, compressed by way of the local cache
 *
 *  Promises: bytes without a hash of their own (`proved` false) are given out only after the MD5 of their whole object came out
 *  right. CHUNK_CORRUPT says what is wrong with an object. */

import { MiB } from '../../base/bytes.ts';
import { type CacheParts, DecodedCache } from './decoded-cache.ts';
import { type ObjectAt, ObjectStream, objectFault, type StreamParts } from './object-stream.ts';
import { ObjectStreams } from './object-streams.ts';

/** Objects up to this size are read whole, whatever is wanted of them. */
const smallBytes = MiB;

/** Who reads, and how: `order` is a name for reads in ascending order, undefined for reads here and there. */
export interface Reader {
  readonly order: string | undefined;
}

export type ObjectReaderParts = StreamParts & Omit<CacheParts, 'streams'>;

export class ObjectReader {
  readonly #parts: ObjectReaderParts;
  readonly #streams: ObjectStreams;
  readonly #cache: DecodedCache;

  constructor(parts: ObjectReaderParts) {
    this.#parts = parts;
    this.#streams = new ObjectStreams(parts);
    this.#cache = new DecodedCache({ ...parts, streams: this.#streams });
  }

  /** Fills `output` with the bytes of the object at `position`. `proved`: the caller holds them to hashes of their own. */
  async read(
    { order }: Reader,
    at: ObjectAt,
    position: number,
    output: Uint8Array,
    proved: boolean,
  ): Promise<void> {
    if (at.row.length <= smallBytes) return this.#small(at, position, output);
    if (proved && order !== undefined) return this.#streams.read(order, at, position, output);
    const evidence = await this.#parts.containers.evidence(at.key);
    if (evidence === undefined) throw objectFault(at.key, 'it is missing');
    if (!proved || at.row.compression !== 'none') {
      return this.#cache.read(at, evidence.mark, position, output, proved);
    }
    if (evidence.sizeBytes !== at.row.length)
      throw objectFault(at.key, `it has ${evidence.sizeBytes} bytes in place of ${at.row.length}`);
    await this.#parts.containers.read(at.key, position, output);
  }

  close(): void {
    this.#cache.close();
    this.#streams.close();
  }

  async #small(at: ObjectAt, position: number, output: Uint8Array): Promise<void> {
    const stream = await ObjectStream.open(this.#parts, at, at.row.length);
    try {
      const whole = stream.extra;
      await stream.read(whole);
      output.set(whole.subarray(position, position + output.length));
    } finally {
      stream.close();
    }
  }
}
