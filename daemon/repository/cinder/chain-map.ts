/** What each byte of a volume comes from, over a whole chain of backups: the newest layer that has it wins. Made once in a stream
 *  from the sorted rows of all layers, and kept in a file whose entries have one size.
 *  Promises: memory does not grow with the number of objects; entries are in order and never overlap; where there is none the
 *  volume is zeros; nothing lies behind the end of the volume. */

import { Fault } from '../../base/faults.ts';
import { decodeRow, type ObjectRow, rowBytes } from './object-rows.ts';
import type { StateFiles } from './state-files.ts';

/** A layer's rows: in a file of the state folder, in order of offset. */
export interface LayerRows {
  readonly name: string;
  readonly count: number;
}

export interface MapEntry {
  readonly offset: number;
  readonly length: number;
  /** Which layer, 0 the newest, and which of its rows. */
  readonly layer: number;
  readonly row: number;
  /** Where in the object it begins. */
  readonly position: number;
}

export const entryBytes = 40;
/** Rows of each layer that are held while the map is made. */
const rowsHeld = 64;
const entriesHeld = 1024;
/** Entries that one look gives. */
export const entriesAtOnce = 128;

/** One layer, read from its first row on. */
class Cursor {
  readonly #files: StateFiles;
  readonly #rows: LayerRows;
  #held = Buffer.alloc(0);
  #heldFrom = 0;
  number = -1;
  current: ObjectRow | undefined;

  constructor(files: StateFiles, rows: LayerRows) {
    this.#files = files;
    this.#rows = rows;
  }

  get end(): number {
    return this.current === undefined ? 0 : this.current.offset + this.current.length;
  }

  async next(): Promise<void> {
    this.number += 1;
    if (this.number >= this.#rows.count) {
      this.current = undefined;
      return;
    }
    const inHeld = (this.number - this.#heldFrom) * rowBytes;
    if (inHeld >= this.#held.length) {
      const count = Math.min(rowsHeld, this.#rows.count - this.number);
      this.#held = Buffer.alloc(count * rowBytes);
      await this.#files.read(this.#rows.name, this.number * rowBytes, this.#held);
      this.#heldFrom = this.number;
    }
    this.current = decodeRow(this.#held, (this.number - this.#heldFrom) * rowBytes);
  }
}

/** Makes the map of `layers`, the newest first; `append` gets its entries. */
export async function makeMap(
  files: StateFiles,
  layers: readonly LayerRows[],
  sizeBytes: number,
  append: (entries: Buffer) => Promise<void>,
): Promise<void> {
  const cursors = layers.map((rows) => new Cursor(files, rows));
  for (const cursor of cursors) await cursor.next();
  let entries = Buffer.alloc(entriesHeld * entryBytes);
  let used = 0;
  const put = async (numbers: readonly number[]) => {
    numbers.forEach((value, place) => entries.writeDoubleLE(value, used + place * 8));
    used += entryBytes;
    if (used < entries.length) return;
    await append(entries);
    entries = Buffer.alloc(entriesHeld * entryBytes);
    used = 0;
  };
  for (let at = 0; at < sizeBytes; ) {
    let end = sizeBytes;
    let winner: number | undefined;
    for (const [layer, cursor] of cursors.entries()) {
      while (cursor.current !== undefined && cursor.end <= at) await cursor.next();
      const row = cursor.current;
      if (row === undefined) continue;
      if (row.offset > at) {
        // From where it begins, a newer layer covers the older ones.
        end = Math.min(end, row.offset);
        continue;
      }
      end = Math.min(end, cursor.end);
      winner = layer;
      break;
    }
    const cursor = winner === undefined ? undefined : cursors[winner];
    if (winner !== undefined && cursor?.current !== undefined)
      await put([at, end - at, winner, cursor.number, at - cursor.current.offset]);
    at = end;
  }
  if (used > 0) await append(entries.subarray(0, used));
}

/** The map, as a file that was made of it. */
export class ChainMap {
  readonly #files: StateFiles;
  readonly #name: string;
  readonly #count: number;

  constructor(files: StateFiles, name: string) {
    this.#files = files;
    this.#name = name;
    const size = files.size(name);
    if (size === undefined) throw new Fault('OBJECT_MISSING', `Cannot read "${name}": it has gone`);
    this.#count = size / entryBytes;
  }

  /** Entries that have bytes from `offset` on and begin before `end`; at most `entriesAtOnce`. */
  async entries(offset: number, end: number): Promise<MapEntry[]> {
    const first = await this.#firstBehind(offset);
    const found: MapEntry[] = [];
    const count = Math.min(entriesAtOnce, this.#count - first);
    if (count <= 0) return found;
    const bytes = Buffer.alloc(count * entryBytes);
    await this.#files.read(this.#name, first * entryBytes, bytes);
    for (let at = 0; at < bytes.length; at += entryBytes) {
      const entry = decodeEntry(bytes, at);
      if (entry.offset >= end) break;
      found.push(entry);
    }
    return found;
  }

  /** Number of the first entry that ends behind `offset`. */
  async #firstBehind(offset: number): Promise<number> {
    let [low, high] = [0, this.#count];
    const bytes = Buffer.alloc(entryBytes);
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      await this.#files.read(this.#name, middle * entryBytes, bytes);
      const entry = decodeEntry(bytes, 0);
      if (entry.offset + entry.length <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function decodeEntry(bytes: Buffer, at: number): MapEntry {
  const number = (place: number) => bytes.readDoubleLE(at + place * 8);
  return { offset: number(0), length: number(1), layer: number(2), row: number(3), position: number(4) };
}
