/** Compares a volume with its parent, block by block: what is zero, what changed. The hashes of the parent are read beside the
 *  new ones. Promises: holds the hashes of a segment, or of a step of a hole, whatever the volume; counts every byte once. */

import { createHash } from 'node:crypto';
import type { WriteCounts } from '../repository.ts';
import type { Run } from './cut.ts';

/** The hashes of the parent, asked for in ascending order. */
export interface ParentHashes {
  /** `count` hashes from block `first` on, 32 bytes each. */
  take(first: number, count: number): Promise<Uint8Array>;
  close(): Promise<void>;
  /** Asks the repository again: Cinder, or another host, may have deleted the parent meanwhile. */
  isThere(): Promise<boolean>;
  /** The parent and its own parents. */
  readonly chain: readonly string[];
}

export const hashBytes = 32;
/** Blocks of a hole that are compared in one go. */
const holeStepBlocks = 32_768;

export const hashOfZeros = (length: number): Buffer =>
  createHash('sha256').update(Buffer.alloc(length)).digest();

export class Comparison {
  readonly #parent: ParentHashes | undefined;
  readonly #blockBytes: number;
  readonly #sizeBytes: number;
  readonly #zeroHash: Buffer;
  readonly #lastZeroHash: Buffer;
  #counts = { readBytes: 0, zeroBytes: 0, knownBytes: 0, newBytes: 0 };

  /** Without a parent everything has changed. */
  constructor(parent: ParentHashes | undefined, blockBytes: number, sizeBytes: number) {
    this.#parent = parent;
    this.#blockBytes = blockBytes;
    this.#sizeBytes = sizeBytes;
    this.#zeroHash = hashOfZeros(blockBytes);
    // The last block of a volume is hashed at its real length.
    this.#lastZeroHash = hashOfZeros(sizeBytes % blockBytes || blockBytes);
  }

  counts(): Omit<WriteCounts, 'storedBytes'> {
    return { ...this.#counts };
  }

  /** Blocks of a segment that was read. In a full backup zeros are data like any other. */
  async ofSegment(offset: number, length: number, hashes: Buffer, zeros: Uint8Array): Promise<Run[]> {
    const before = await this.#parent?.take(offset / this.#blockBytes, zeros.length);
    const runs: { offset: number; length: number; zero: boolean; changed: boolean }[] = [];
    this.#counts.readBytes += length;
    for (const [number, zeroByte] of zeros.entries()) {
      const [begin, end] = [number * hashBytes, (number + 1) * hashBytes];
      const changed = before === undefined || hashes.compare(before, begin, end, begin, end) !== 0;
      const at = number * this.#blockBytes;
      const blockLength = Math.min(this.#blockBytes, length - at);
      this.#count(blockLength, zeroByte === 1, changed);
      const zero = zeroByte === 1 && before !== undefined;
      const last = runs.at(-1);
      if (last?.zero === zero && last.changed === changed) last.length += blockLength;
      else runs.push({ offset: offset + at, length: blockLength, zero, changed });
    }
    return runs;
  }

  /** A range that was not read because it is zeros. */
  async *ofHole(begin: number, end: number): AsyncIterable<Run> {
    const stepBytes = this.#parent === undefined ? end - begin : holeStepBlocks * this.#blockBytes;
    for (let offset = begin; offset < end; offset += stepBytes) {
      const length = Math.min(stepBytes, end - offset);
      for (const run of await this.#holeRuns(offset, length)) {
        this.#count(run.length, true, run.changed);
        yield run;
      }
    }
  }

  async #holeRuns(offset: number, length: number): Promise<Run[]> {
    if (this.#parent === undefined) return [{ offset, length, zero: true, changed: true }];
    const blocks = Math.ceil(length / this.#blockBytes);
    const before = await this.#parent.take(offset / this.#blockBytes, blocks);
    const runs: { offset: number; length: number; zero: true; changed: boolean }[] = [];
    for (let number = 0; number < blocks; number += 1) {
      const at = offset + number * this.#blockBytes;
      const blockLength = Math.min(this.#blockBytes, offset + length - at);
      const hash = at + this.#blockBytes >= this.#sizeBytes ? this.#lastZeroHash : this.#zeroHash;
      const changed = hash.compare(before, number * hashBytes, (number + 1) * hashBytes) !== 0;
      const last = runs.at(-1);
      if (last?.changed === changed) last.length += blockLength;
      else runs.push({ offset: at, length: blockLength, zero: true, changed });
    }
    return runs;
  }

  #count(length: number, zero: boolean, changed: boolean): void {
    if (zero) this.#counts.zeroBytes += length;
    else if (changed) this.#counts.newBytes += length;
    else this.#counts.knownBytes += length;
  }
}
