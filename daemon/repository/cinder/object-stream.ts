/** One object, decompressed from its start to its end. Source: chunkeddriver.py; RFC 1950; the formats of bzip2 and zstd.
 *  Promises: no more memory than is lent, whatever the object demands; no more bytes than the metadata says; at the end of the
 *  object its MD5 was that of the metadata, else CHUNK_CORRUPT. One call at a time. */

import type { ChunkDecoder, Native } from '../../../native/native.ts';
import { KiB, MiB, roundUp } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';
import type { Part, Pool } from '../../memory/pool.ts';
import type { Containers } from './containers.ts';
import type { ObjectRow } from './object-rows.ts';

/** An object with its key. */
export interface ObjectAt {
  readonly key: string;
  readonly row: ObjectRow;
}

export interface StreamParts {
  readonly containers: Containers;
  readonly native: Pick<Native, 'openChunkDecoder' | 'zstdDemand'>;
  readonly pool: Pool;
}

const inputBytes = 256 * KiB;
const skipBytes = 64 * KiB;
/** What zlib and bzip2 need at most: a window and tables; the block of 900 000 four times. */
const zlibBytes = 64 * KiB;
const bzip2Bytes = 4 * MiB;
/** Longest head of a zstd frame. */
const zstdHeadBytes = 18;

export const objectFault = (key: string, why: string): Fault =>
  new Fault('CHUNK_CORRUPT', `Cannot read object "${key}": ${why}`);

export class ObjectStream {
  readonly #parts: StreamParts;
  readonly #at: ObjectAt;
  readonly #storedBytes: number;
  readonly #lent: Part;
  readonly #input: Uint8Array;
  readonly #skip: Uint8Array;
  readonly #decoder: ChunkDecoder;
  /** Lent besides, for who opened it. */
  readonly extra: Uint8Array;
  /** Bytes of the data that came out. */
  position = 0;
  #nextStored = 0;
  #left: Uint8Array = new Uint8Array(0);
  #done = false;

  private constructor(parts: StreamParts, at: ObjectAt, storedBytes: number, lent: Part, extraBytes: number) {
    this.#parts = parts;
    this.#at = at;
    this.#storedBytes = storedBytes;
    this.#lent = lent;
    this.#input = lent.bytes.subarray(0, inputBytes);
    this.#skip = lent.bytes.subarray(inputBytes, inputBytes + skipBytes);
    this.extra = lent.bytes.subarray(inputBytes + skipBytes, inputBytes + skipBytes + extraBytes);
    const workspace = lent.bytes.subarray(roundUp(inputBytes + skipBytes + extraBytes, 64));
    this.#decoder = parts.native.openChunkDecoder(at.row.compression, workspace);
  }

  /** `extraBytes`: lent in the same part, so that nobody holds one part while he waits for another. */
  static async open(parts: StreamParts, at: ObjectAt, extraBytes = 0): Promise<ObjectStream> {
    const evidence = await parts.containers.evidence(at.key);
    if (evidence === undefined) throw objectFault(at.key, 'it is missing');
    const { compression, length } = at.row;
    if (compression === 'none' && evidence.sizeBytes !== length)
      throw objectFault(at.key, `it has ${evidence.sizeBytes} bytes in place of ${length}`);
    const workspace = await workspaceBytes(parts, at, evidence.sizeBytes);
    const bytes = roundUp(inputBytes + skipBytes + extraBytes, 64) + workspace;
    const lent = await parts.pool.take(bytes, `object "${at.key}"`);
    try {
      return new ObjectStream(parts, at, evidence.sizeBytes, lent, extraBytes);
    } catch (thrown) {
      lent.release();
      throw thrown;
    }
  }

  close(): void {
    this.#lent.release();
  }

  /** Goes on to `position`. */
  async skipTo(position: number): Promise<void> {
    while (this.position < position) {
      await this.read(this.#skip.subarray(0, Math.min(skipBytes, position - this.position)));
    }
  }

  /** Fills `output` with the next bytes. */
  async read(output: Uint8Array): Promise<void> {
    let done = 0;
    while (done < output.length) {
      const produced = await this.#step(output.subarray(done));
      if (produced === 0 && this.#done)
        throw objectFault(
          this.#at.key,
          `it ends at byte ${this.position} in place of ${this.#at.row.length}`,
        );
      done += produced;
    }
    if (this.position === this.#at.row.length) await this.#finish();
  }

  async #step(output: Uint8Array): Promise<number> {
    if (this.#at.row.compression === 'none') return this.#copy(output);
    if (this.#left.length === 0 && this.#nextStored < this.#storedBytes) {
      const length = Math.min(inputBytes, this.#storedBytes - this.#nextStored);
      this.#left = this.#input.subarray(0, length);
      await this.#parts.containers.read(this.#at.key, this.#nextStored, this.#left);
      this.#nextStored += length;
    }
    const step = await this.#decoder.step(this.#left, output);
    if (!step.whole) throw objectFault(this.#at.key, `its ${this.#at.row.compression} data is damaged`);
    const isStuck = step.consumed === 0 && step.produced === 0 && !step.done;
    const isAtEnd = this.#nextStored === this.#storedBytes;
    if (isStuck && (isAtEnd || this.#left.length > 0)) throw objectFault(this.#at.key, 'it is cut off');
    this.#left = this.#left.subarray(step.consumed);
    this.#done = step.done;
    this.position += step.produced;
    return step.produced;
  }

  async #copy(output: Uint8Array): Promise<number> {
    const part = output.subarray(0, Math.min(output.length, this.#storedBytes - this.#nextStored));
    await this.#parts.containers.read(this.#at.key, this.#nextStored, part);
    await this.#decoder.step(part, part);
    this.#nextStored += part.length;
    this.position += part.length;
    this.#done = this.#nextStored === this.#storedBytes;
    return part.length;
  }

  /** All that the metadata speaks of came out: nothing may come behind it. */
  async #finish(): Promise<void> {
    const { key, row } = this.#at;
    // Behind a stream of bzip2 another one may follow: only the end of the object ends it.
    const mayEnd = () =>
      row.compression === 'bz2' && this.#left.length === 0 && this.#nextStored === this.#storedBytes;
    while (!this.#done && !mayEnd()) {
      const produced = await this.#step(this.#skip.subarray(0, 1));
      if (produced > 0) throw objectFault(key, `it is longer than the ${row.length} bytes of the metadata`);
    }
    const md5 = this.#decoder.md5().toString('hex');
    if (row.md5 !== '' && md5 !== row.md5) throw objectFault(key, `its MD5 is ${md5} in place of ${row.md5}`);
  }
}

async function workspaceBytes(
  { containers, native }: StreamParts,
  { key, row }: ObjectAt,
  sizeBytes: number,
): Promise<number> {
  if (row.compression === 'none') return 0;
  if (row.compression === 'zlib') return zlibBytes;
  if (row.compression === 'bz2') return bzip2Bytes;
  const head = Buffer.alloc(Math.min(zstdHeadBytes, sizeBytes));
  await containers.read(key, 0, head);
  const demand = native.zstdDemand(head);
  if (demand < 0) throw objectFault(key, 'it is no zstd frame');
  return demand;
}
