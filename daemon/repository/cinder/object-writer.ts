/** One data object of a Cinder backup in the making.
 *
 *    reserve (in order) ─▶ put: pack (any processor) ▷ turn ▷ MD5 │ join ▷ write ─▶ close: compressed, or raw where that is smaller
 *
 *  Promises: what is put is in the object in the order in which it was reserved; the result is one stream that Cinder reads, made
 *  durable; an object that did not shrink is raw. A raw copy is kept only until it is sure that it will not be needed. Holds
 *  nothing of the size of an object. Knows nothing of names. */

import type { ChunkEncoder, Native } from '../../../native/native.ts';
import { KiB } from '../../base/bytes.ts';
import { segmentBytes } from '../../base/limits.ts';
import { type Turn, Turns } from '../../base/turns.ts';
import type { StagedFile, Staging } from '../../storage/staging.ts';
import type { Compression } from './settings.ts';

export interface ObjectParts {
  readonly native: Pick<Native, 'packChunk' | 'openChunkEncoder'>;
  readonly staging: Staging;
  readonly compression: Compression;
  /** A segment of zeros. */
  readonly zeros: Uint8Array;
  /** Objects of zeros alone that were made already, by length: they are all alike. */
  readonly zeroObjects: Map<number, ObjectEntry>;
}

export interface ObjectEntry {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  readonly compression: Compression;
  readonly md5: string;
  readonly storedBytes: number;
}

/** Bytes, or that many zeros. */
export type Content = Uint8Array | number;

export interface Place {
  readonly digest: Turn;
  readonly write: Turn;
}

const heads = {
  none: Buffer.alloc(0),
  zlib: Buffer.from([0x78, 0x9c]),
  bz2: Buffer.from('BZh9'),
  /** The real one is written when the size is known. */
  zstd: Buffer.alloc(14),
} as const;

/** No stream ends with more than that. */
const tailBytesMax = 64;
/** zstd keeps less than two blocks of its input to itself. */
const zstdHeldBackBytes = 256 * KiB;

export class ObjectWriter {
  readonly number: number;
  readonly #parts: ObjectParts;
  readonly #offset: number;
  readonly #lengthMax: number;
  readonly #encoder: ChunkEncoder;
  readonly #digests = new Turns();
  readonly #writes = new Turns();
  #length = 0;
  #ended = false;
  #onlyZeros = true;
  #copied: ObjectEntry | undefined;
  #failure: { readonly thrown: unknown } | undefined;
  #packed: StagedFile | undefined;
  #packedBytes: number;
  #raw: StagedFile | undefined;
  #rawBytes = 0;
  /** zstd: nothing is held back any more. */
  #frameEnded = false;
  /** The raw copy is needed, or may still be. */
  #keepsRaw = true;

  /** `lengthMax`: no more than that comes. */
  constructor(parts: ObjectParts, number: number, offset: number, lengthMax: number) {
    this.#parts = parts;
    this.number = number;
    this.#offset = offset;
    this.#lengthMax = lengthMax;
    this.#encoder = parts.native.openChunkEncoder();
    this.#packedBytes = heads[parts.compression].length;
  }

  /** A place for `length` bytes behind all that was reserved before. Whoever reserves puts, or gives up. */
  reserve(length: number): Place {
    this.#length += length;
    return { digest: this.#digests.take(), write: this.#writes.take() };
  }

  /** No more is reserved: from here on the length is known. */
  end(): Place {
    this.#ended = true;
    return { digest: this.#digests.take(), write: this.#writes.take() };
  }

  /** `output`: lent memory of `segmentBytes`. */
  async put(place: Place, content: Content, output: Uint8Array): Promise<void> {
    if (typeof content !== 'number') this.#onlyZeros = false;
    else if (this.#ended && content === this.#length) this.#copied = this.#parts.zeroObjects.get(content);
    const both = await Promise.allSettled([
      this.#digest(place.digest, content),
      this.#write(place.write, content, output),
    ]);
    for (const one of both) if (one.status === 'rejected') throw one.reason;
  }

  /** For who will not put what was reserved. */
  giveUp(place: Place, thrown: unknown): void {
    this.#failure ??= { thrown };
    place.digest.done();
    place.write.done();
  }

  /** Waits for all that was put. */
  async close(place: Place, output: Uint8Array): Promise<ObjectEntry> {
    try {
      await Promise.all([place.digest.ready, place.write.ready]);
      this.#throwFailure();
      const common = { number: this.number, offset: this.#offset, length: this.#length };
      if (this.#copied !== undefined) {
        await this.#parts.staging.copy(String(this.#copied.number), String(this.number));
        return { ...this.#copied, ...common };
      }
      const md5 = this.#encoder.md5().toString('hex');
      const { compression, storedBytes } = await this.#finish(output);
      const entry = { ...common, compression, storedBytes, md5 };
      // Raw zeros are a hole: there is nothing to be saved.
      if (this.#onlyZeros && compression !== 'none') this.#parts.zeroObjects.set(this.#length, entry);
      return entry;
    } finally {
      place.digest.done();
      place.write.done();
    }
  }

  /** After a failure: lets go of the files. Nobody puts any more. */
  async abort(): Promise<void> {
    await this.#packed?.close().catch(() => undefined);
    await this.#raw?.close().catch(() => undefined);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.thrown;
  }

  async #digest(turn: Turn, content: Content): Promise<void> {
    try {
      await turn.ready;
      this.#throwFailure();
      if (this.#copied !== undefined) return;
      for (const piece of this.#piecesOf(content)) await this.#encoder.digest(piece);
    } catch (thrown) {
      this.#failure ??= { thrown };
      throw thrown;
    } finally {
      turn.done();
    }
  }

  async #write(turn: Turn, content: Content, output: Uint8Array): Promise<void> {
    try {
      if (this.#copied !== undefined) return;
      for (const piece of this.#piecesOf(content)) await this.#writePiece(turn, piece, output);
    } catch (thrown) {
      this.#failure ??= { thrown };
      throw thrown;
    } finally {
      turn.done();
    }
  }

  *#piecesOf(content: Content): Iterable<Uint8Array> {
    if (typeof content !== 'number') yield content;
    else
      for (let left = content; left > 0; left -= segmentBytes)
        yield this.#parts.zeros.subarray(0, Math.min(left, segmentBytes));
  }

  async #writePiece(turn: Turn, piece: Uint8Array, output: Uint8Array): Promise<void> {
    const { compression: algorithm, native } = this.#parts;
    if (algorithm === 'zstd') {
      await turn.ready;
      await this.#compress(piece, output, this.#ended && this.#rawBytes + piece.length === this.#length);
    } else if (algorithm !== 'none') {
      for (let at = 0; at < piece.length; ) {
        const input = piece.subarray(at);
        const { consumed, produced, blocks } = await native.packChunk({ algorithm, input, output });
        if (consumed === 0) throw new Error('a piece does not fit in its output');
        await turn.ready;
        this.#throwFailure();
        await this.#append(
          output.subarray(0, algorithm === 'bz2' ? await this.#encoder.join(output, blocks) : produced),
        );
        at += consumed;
      }
    }
    await turn.ready;
    this.#throwFailure();
    await this.#keepRaw(piece);
  }

  async #compress(input: Uint8Array, output: Uint8Array, end: boolean): Promise<void> {
    this.#frameEnded = end;
    for (let [at, done] = [0, false]; !done; ) {
      this.#throwFailure();
      const rest = input.subarray(at);
      const step = await this.#encoder.compress({ input: rest, output, end, sizeMax: this.#sizeMax() });
      await this.#append(output.subarray(0, step.produced));
      at += step.consumed;
      done = step.done;
    }
  }

  #sizeMax(): number {
    return this.#ended ? this.#length : this.#lengthMax;
  }

  async #append(bytes: Uint8Array): Promise<void> {
    const { staging, compression } = this.#parts;
    if (this.#packed === undefined) {
      this.#packed = await staging.create(String(this.number));
      await this.#packed.write(0, heads[compression]);
    }
    await this.#packed.write(this.#packedBytes, bytes);
    this.#packedBytes += bytes.length;
  }

  /** Keeps a raw copy for as long as what is still to come could make the compressed object the larger one. */
  async #keepRaw(piece: Uint8Array): Promise<void> {
    const position = this.#rawBytes;
    this.#rawBytes += piece.length;
    if (!this.#keepsRaw) return;
    if (this.#parts.compression !== 'none') {
      const left = this.#sizeMax() - this.#rawBytes;
      const growthMax = left > 0 ? left / 64 + 4096 : tailBytesMax;
      const heldBack = this.#parts.compression === 'zstd' && !this.#frameEnded ? zstdHeldBackBytes : 0;
      if (this.#rawBytes - this.#packedBytes > growthMax + heldBack) {
        this.#keepsRaw = false;
        await this.#raw?.discard();
        return;
      }
    }
    this.#raw ??= await this.#parts.staging.create(`${this.number}.raw`);
    // What is not written reads as zeros.
    if (piece.buffer !== this.#parts.zeros.buffer) await this.#raw.write(position, piece);
  }

  async #finish(output: Uint8Array): Promise<{ compression: Compression; storedBytes: number }> {
    const { compression, staging } = this.#parts;
    if (compression === 'zstd') {
      if (!this.#frameEnded) await this.#compress(new Uint8Array(0), output, true);
      await this.#packed?.write(0, this.#encoder.zstdHead(this.#length));
    } else if (compression !== 'none') await this.#append(this.#encoder.tail(compression));
    if (this.#keepsRaw && this.#raw !== undefined) {
      if (compression === 'none' || this.#packedBytes >= this.#length) {
        await this.#packed?.discard();
        await this.#raw.resize(this.#length);
        await this.#raw.seal();
        await staging.rename(`${this.number}.raw`, String(this.number));
        return { compression: 'none', storedBytes: this.#length };
      }
      await this.#raw.discard();
    }
    await this.#packed?.seal();
    return { compression, storedBytes: this.#packedBytes };
  }
}
