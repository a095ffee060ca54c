/** Large objects that are read here and there, decompressed once from start to end into files of the state folder.
 *
 *    object ─(one pass, MD5 at its end)▶ chunks: BLAKE3-256 ▷ zstd ▷ file ─▶ any read: chunk ▷ decompress ▷ verify
 *
 *  Neither zlib nor zstd can begin in the middle of what Cinder writes, so the first read costs one pass; every later one costs the
 *  chunks that it touches. Reads of what the pass has gone over already do not wait for its end, where the hashes of the backup
 *  prove them. Promises: what is given out has the digest that the pass took; the files stay within their limit. */

import type { Native } from '../../../native/native.ts';
import { KiB, MiB } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';
import { rawLength } from '../../format/block-layouts.ts';
import type { Pool } from '../../memory/pool.ts';
import { AtOnce } from './at-once.ts';
import { type ObjectAt, ObjectStream, objectFault, type StreamParts } from './object-stream.ts';
import type { ObjectStreams } from './object-streams.ts';
import type { GrowingFile, StateFiles } from './state-files.ts';

const chunkBytes = 64 * KiB;
const chunksAtOnce = 4;
const fillBytes = MiB;
/** What `storeChunks` gives, and what the file of rows has: a digest, where the chunk is, and its sizes. */
const madeRowBytes = 40;
const rowBytes = 48;
/** A pass that has failed is not tried again sooner. */
const failedForMs = 30_000;
/** Passes under way. More of them only wait for the same processors. */
const fillsMax = 2;
const readsMax = 4;
const smallPoolBytes = 24 * MiB;

/** How an object is read: from files that are whole, or from ones in the making. */
interface Source {
  readRows(position: number, output: Uint8Array): Promise<void>;
  readChunks(position: number, output: Uint8Array): Promise<void>;
}

class Fill {
  reached = 0;
  ended = false;
  fault: Fault | undefined;
  failedAtMs = 0;
  #waiting: (() => void)[] = [];

  readonly rows: GrowingFile;
  readonly chunks: GrowingFile;

  constructor(rows: GrowingFile, chunks: GrowingFile) {
    this.rows = rows;
    this.chunks = chunks;
  }

  tell(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Waits until the pass has gone over `position`, or to its end where `toEnd`. */
  async wait(position: number, toEnd: boolean): Promise<void> {
    const enough = toEnd ? Number.POSITIVE_INFINITY : position;
    while (!this.ended && this.reached < enough) {
      await new Promise<void>((wake) => this.#waiting.push(wake));
    }
  }
}

export interface CacheParts extends StreamParts {
  readonly native: Pick<Native, 'openChunkDecoder' | 'zstdDemand' | 'storeChunks' | 'decode' | 'hash'>;
  readonly pool: Pool;
  readonly files: StateFiles;
  readonly streams: ObjectStreams;
}

export class DecodedCache {
  readonly #parts: CacheParts;
  readonly #fills = new Map<string, Fill>();
  readonly #beginning = new Map<string, Promise<Fill>>();
  readonly #fillTurns: AtOnce;
  /** Who reads holds memory, and may need a stream besides: a few at a time always find room for it. */
  readonly #readTurns = new AtOnce(readsMax);
  #closed = false;

  constructor(parts: CacheParts) {
    this.#parts = parts;
    this.#fillTurns = new AtOnce(parts.pool.sizeBytes < smallPoolBytes ? 1 : fillsMax);
  }

  /** Fills `output` with the bytes of the object at `position`. `proved`: the caller has hashes of them, so that he need not
   *  wait until the MD5 of the whole has come out right. */
  async read(
    at: ObjectAt,
    mark: string,
    position: number,
    output: Uint8Array,
    proved: boolean,
  ): Promise<void> {
    const { files } = this.#parts;
    const base = `${at.key} ${mark} ${at.row.compression} ${at.row.length} ${at.row.md5}`;
    const names = { rows: files.nameOf('rows', base), chunks: files.nameOf('chunks', base) };
    const isThere = files.size(names.rows) !== undefined && files.size(names.chunks) !== undefined;
    if (isThere) {
      const source: Source = {
        readRows: (where, bytes) => files.read(names.rows, where, bytes),
        readChunks: (where, bytes) => files.read(names.chunks, where, bytes),
      };
      const whole = await this.#readFrom(source, at, position, output).catch((thrown: unknown) => {
        // Somebody else needed the room, or the disk lost it: it is made anew.
        if (thrown instanceof Fault && thrown.code !== 'STORAGE_FULL') return false;
        throw thrown;
      });
      if (whole) return;
      await files.remove(names.rows);
      await files.remove(names.chunks);
    }
    const fill = await this.#fillOf(names, at);
    const end = position + output.length;
    await fill.wait(end, !proved);
    const growing: Source = {
      readRows: (where, bytes) => fill.rows.read(where, bytes),
      readChunks: (where, bytes) => fill.chunks.read(where, bytes),
    };
    // The files may get their names while they are read: then they are read again under those.
    const isWhole = !fill.ended && (await this.#readFrom(growing, at, position, output).catch(() => false));
    if (isWhole) return;
    await fill.wait(at.row.length, true);
    if (fill.fault === undefined) return this.read(at, mark, position, output, proved);
    if (!proved || end > fill.reached) throw fill.fault;
    await this.#stream(at, position, output);
  }

  close(): void {
    this.#closed = true;
  }

  /** Without the files: from the start of the object. */
  #stream(at: ObjectAt, position: number, output: Uint8Array): Promise<void> {
    return this.#parts.streams.read('cache', at, position, output);
  }

  async #fillOf(names: { rows: string; chunks: string }, at: ObjectAt): Promise<Fill> {
    const known = this.#fills.get(names.rows);
    if (known !== undefined && (!known.ended || performance.now() - known.failedAtMs < failedForMs))
      return known;
    let beginning = this.#beginning.get(names.rows);
    beginning ??= this.#begin(names, at).finally(() => this.#beginning.delete(names.rows));
    this.#beginning.set(names.rows, beginning);
    return beginning;
  }

  async #begin(names: { rows: string; chunks: string }, at: ObjectAt): Promise<Fill> {
    const { files } = this.#parts;
    const fill = new Fill(await files.create(names.rows), await files.create(names.chunks));
    this.#fills.set(names.rows, fill);
    void this.#fillTurns
      .run(() => this.#run(fill, at))
      .then(
        async () => {
          await fill.chunks.commit();
          await fill.rows.commit();
          this.#fills.delete(names.rows);
        },
        async (thrown: unknown) => {
          fill.fault = thrown instanceof Fault ? thrown : objectFault(at.key, String(thrown));
          fill.failedAtMs = performance.now();
          await fill.rows.abort();
          await fill.chunks.abort();
        },
      )
      .catch((thrown: unknown) => {
        fill.fault = objectFault(at.key, String(thrown));
      })
      .finally(() => {
        fill.ended = true;
        fill.tell();
      });
    return fill;
  }

  async #run(fill: Fill, at: ObjectAt): Promise<void> {
    const { native } = this.#parts;
    const stream = await ObjectStream.open(this.#parts, at, 2 * fillBytes);
    try {
      const rows = Buffer.alloc((fillBytes / chunkBytes) * madeRowBytes);
      const stored = stream.extra.subarray(fillBytes);
      while (stream.position < at.row.length) {
        if (this.#closed)
          throw new Fault('DAEMON_STOPPING', `Cannot read object "${at.key}": the repository is closed`);
        const input = stream.extra.subarray(0, Math.min(fillBytes, at.row.length - stream.position));
        await stream.read(input);
        const bytes = await native.storeChunks({ input, output: stored, rows, chunkBytes });
        const chunks = Math.ceil(input.length / chunkBytes);
        const position = fill.chunks.sizeBytes;
        const hasRoom = await fill.chunks.append(stored.subarray(0, bytes));
        await this.#appendRows(fill, rows.subarray(0, chunks * madeRowBytes), hasRoom ? position : -1);
        fill.reached = stream.position;
        fill.tell();
      }
    } finally {
      stream.close();
    }
  }

  async #appendRows(fill: Fill, made: Buffer, first: number): Promise<void> {
    const rows = Buffer.alloc((made.length / madeRowBytes) * rowBytes);
    let position = first;
    for (let at = 0; at < made.length / madeRowBytes; at += 1) {
      const row = at * madeRowBytes;
      made.copy(rows, at * rowBytes, row, row + 32);
      rows.writeDoubleLE(position, at * rowBytes + 32);
      made.copy(rows, at * rowBytes + 40, row + 32, row + 40);
      if (first >= 0) position += made.readUInt32LE(row + 32);
    }
    if (!(await fill.rows.append(rows)))
      throw new Fault(
        'STORAGE_FULL',
        'Cannot keep what was read from an object: cinder_cache_bytes is too small',
      );
  }

  /** False where a chunk is not what the pass took it for. */
  #readFrom(source: Source, at: ObjectAt, position: number, output: Uint8Array): Promise<boolean> {
    return this.#readTurns.run(() => this.#readChunks(source, at, position, output));
  }

  async #readChunks(source: Source, at: ObjectAt, position: number, output: Uint8Array): Promise<boolean> {
    const lent = await this.#parts.pool.take(2 * chunksAtOnce * chunkBytes, `object "${at.key}"`);
    try {
      let done = 0;
      while (done < output.length) {
        const first = Math.floor((position + done) / chunkBytes);
        const last = Math.ceil((position + output.length) / chunkBytes);
        const count = Math.min(chunksAtOnce, last - first);
        const raw = await this.#chunks(source, at, first, count, lent.bytes);
        if (raw === undefined) return false;
        const from = position + done - first * chunkBytes;
        const part = raw.subarray(from, Math.min(raw.length, from + output.length - done));
        output.set(part, done);
        done += part.length;
      }
      return true;
    } finally {
      lent.release();
    }
  }

  /** Decoded chunks one behind the other, in the first half of `memory`; perhaps fewer than `countMax`. */
  async #chunks(
    source: Source,
    at: ObjectAt,
    first: number,
    countMax: number,
    memory: Uint8Array,
  ): Promise<Uint8Array | undefined> {
    const rows = Buffer.alloc(countMax * rowBytes);
    await source.readRows(first * rowBytes, rows);
    const start = rows.readDoubleLE(32);
    if (start < 0) return this.#absent(at, first, rows, memory);
    const blocks = Buffer.alloc(rows.length);
    const half = chunksAtOnce * chunkBytes;
    let [count, stored, raw] = [0, 0, 0];
    for (let row = 0; row < rows.length; row += rowBytes) {
      if (rows.readDoubleLE(row + 32) !== start + stored) break;
      rows.copy(blocks, row, row, row + 32);
      blocks.writeUInt32LE(stored, row + 32);
      rows.copy(blocks, row + 36, row + 40, row + 48);
      blocks.writeUInt32LE(raw, row + 44);
      stored += rows.readUInt32LE(row + 40);
      raw += rawLength(rows.readUInt32LE(row + 44));
      count += 1;
    }
    if (stored > half || raw > half) return undefined;
    const input = memory.subarray(half, half + stored);
    await source.readChunks(start, input);
    const output = memory.subarray(0, half);
    const results = Buffer.alloc(count);
    const bad = await this.#parts.native.decode({
      input,
      output,
      blocks: blocks.subarray(0, count * rowBytes),
      results,
    });
    return bad === 0 ? memory.subarray(0, raw) : undefined;
  }

  /** A chunk that found no room: from the object again, and held to its digest. */
  async #absent(
    at: ObjectAt,
    number: number,
    rows: Buffer,
    memory: Uint8Array,
  ): Promise<Uint8Array | undefined> {
    const chunk = memory.subarray(0, rawLength(rows.readUInt32LE(44)));
    await this.#stream(at, number * chunkBytes, chunk);
    return this.#parts.native.hash(chunk).equals(rows.subarray(0, 32)) ? chunk : undefined;
  }
}
