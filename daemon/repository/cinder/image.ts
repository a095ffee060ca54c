/** A Cinder backup as an image: each byte once, from the newest layer of its chain that has it, zeros where none has.
 *  Promises: every byte was held to the hash list of the backup itself in that very call, which speaks of the whole volume and so
 *  proves the chain, too; where there is no list, to the MD5 of its object. What is not proved is zeros and reported. */

import type { Native } from '../../../native/native.ts';
import { KiB, MiB } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';
import type { Pool } from '../../memory/pool.ts';
import type { BackupImage, DamagedRange, ImageExtent } from '../repository.ts';
import { AtOnce } from './at-once.ts';
import { type ChainParts, hashListOf, type Layer, readChain } from './chain.ts';
import { ChainMap, entriesAtOnce, type MapEntry, makeMap } from './chain-map.ts';
import { walkExtents } from './extents.ts';
import { type HashList, hashBytes } from './hash-list.ts';
import { metadataName, objectName } from './names.ts';
import type { ObjectReader } from './object-reader.ts';
import { decodeRow, type ObjectRow, rowBytes } from './object-rows.ts';
import { keyIn } from './places.ts';

/** Hash blocks that can be checked: smaller ones cost more than they tell, larger ones more memory than one read may have. */
const checkedMin = 512;
const checkedMax = 4 * MiB;
const blockBytesUsual = 64 * KiB;
const rowsHeldMax = 256;

export interface ImageParts extends ChainParts {
  readonly reader: ObjectReader;
  readonly native: Pick<Native, 'hashChunks'>;
  readonly pool: Pool;
}

interface Prepared {
  readonly layers: readonly Layer[];
  readonly map: ChainMap;
  /** The hashes, where they can be checked. */
  readonly list: HashList | undefined;
}

const reasonOf = (thrown: unknown): string => {
  if (thrown instanceof Fault && thrown.code === 'INTERNAL') throw thrown;
  return thrown instanceof Error ? thrown.message : String(thrown);
};

/** One partial hash block at a time: it takes memory of its own while its pieces need some. */
const wideTurns = new AtOnce(1);

export class CinderImage implements BackupImage {
  readonly backupId: string;
  readonly sizeBytes: number;
  readonly blockBytes = blockBytesUsual;
  readonly #parts: ImageParts;
  readonly #order: string | undefined;
  readonly #rows = new Map<string, ObjectRow>();
  #prepared: Promise<Prepared> | undefined;
  /** Looks at the map one after the other, so that reads of an object begin in the order in which they were asked for. */
  #looks: Promise<unknown> = Promise.resolve();

  /** `order`: a name of its own for reads in ascending order; undefined: here and there. */
  constructor(parts: ImageParts, backupId: string, sizeBytes: number, order: string | undefined) {
    this.#parts = parts;
    this.backupId = backupId;
    this.sizeBytes = sizeBytes;
    this.#order = order;
  }

  async *extents(): AsyncIterable<ImageExtent> {
    yield* walkExtents({ ...(await this.#prepare()), sizeBytes: this.sizeBytes });
  }

  async read(offset: number, output: Uint8Array): Promise<DamagedRange[]> {
    const wanted = Math.max(0, Math.min(output.length, this.sizeBytes - offset));
    output.fill(0, wanted);
    const bytes = output.subarray(0, wanted);
    if (wanted === 0) return [];
    try {
      return await this.#read(offset, bytes);
    } catch (thrown) {
      if (!(thrown instanceof Fault) || thrown.code !== 'OBJECT_MISSING') throw thrown;
      // A file of the state folder made room for others: it is made anew, once.
      this.#prepared = undefined;
      return this.#read(offset, bytes);
    }
  }

  async #read(offset: number, output: Uint8Array): Promise<DamagedRange[]> {
    const prepared = await this.#prepare();
    const { list } = prepared;
    if (list === undefined) return this.#pieces(prepared, offset, output, false);
    const { chunkBytes } = list;
    const end = offset + output.length;
    const first = Math.ceil(offset / chunkBytes) * chunkBytes;
    const last = end === this.sizeBytes ? end : Math.floor(end / chunkBytes) * chunkBytes;
    const damaged: DamagedRange[] = [];
    if (first > offset) {
      const part = output.subarray(0, Math.min(first, end) - offset);
      damaged.push(...(await this.#partial(prepared, list, offset, part)));
    }
    if (last > first)
      damaged.push(
        ...(await this.#whole(prepared, list, first, output.subarray(first - offset, last - offset))),
      );
    if (end > last && last >= first)
      damaged.push(...(await this.#partial(prepared, list, last, output.subarray(last - offset))));
    return damaged;
  }

  /** Whole hash blocks, but for the last one of the volume. */
  async #whole(
    prepared: Prepared,
    list: HashList,
    offset: number,
    output: Uint8Array,
  ): Promise<DamagedRange[]> {
    const damaged = await this.#pieces(prepared, offset, output, true);
    const { chunkBytes } = list;
    const count = Math.ceil(output.length / chunkBytes);
    const hashes = Buffer.alloc(count * hashBytes);
    const zeros = Buffer.alloc(count);
    await this.#parts.native.hashChunks({
      fd: -1,
      directFd: -1,
      position: 0,
      length: output.length,
      blockBytes: chunkBytes,
      input: output,
      hashes,
      zeros,
    });
    const wanted = Buffer.alloc(hashes.length);
    try {
      await list.read(offset / chunkBytes, wanted);
    } catch (thrown) {
      output.fill(0);
      return [{ offset, length: output.length, reason: reasonOf(thrown) }];
    }
    for (let number = 0; number < count; number += 1) {
      const at = number * hashBytes;
      if (hashes.compare(wanted, at, at + hashBytes, at, at + hashBytes) === 0) continue;
      const from = number * chunkBytes;
      const length = Math.min(chunkBytes, output.length - from);
      output.fill(0, from, from + length);
      const known = damaged.some(
        (range) => range.offset < offset + from + length && offset + from < range.offset + range.length,
      );
      if (!known)
        damaged.push({ offset: offset + from, length, reason: 'its SHA-256 is not that of the hash list' });
    }
    return damaged;
  }

  /** A part of one hash block: all of it is read, because only all of it can be checked. */
  #partial(prepared: Prepared, list: HashList, offset: number, output: Uint8Array): Promise<DamagedRange[]> {
    return wideTurns.run(async () => {
      const start = Math.floor(offset / list.chunkBytes) * list.chunkBytes;
      const length = Math.min(list.chunkBytes, this.sizeBytes - start);
      const lent = await this.#parts.pool.take(length, `backup "${this.backupId}"`);
      try {
        const block = lent.bytes.subarray(0, length);
        const damaged = await this.#whole(prepared, list, start, block);
        output.set(block.subarray(offset - start, offset - start + output.length));
        return damaged.length === 0
          ? []
          : [{ offset, length: output.length, reason: damaged[0]?.reason ?? '' }];
      } finally {
        lent.release();
      }
    });
  }

  async #pieces(
    prepared: Prepared,
    offset: number,
    output: Uint8Array,
    proved: boolean,
  ): Promise<DamagedRange[]> {
    const damaged: DamagedRange[] = [];
    const end = offset + output.length;
    output.fill(0);
    for (let at = offset; at < end; ) {
      const look = this.#looks.then(async () => {
        const entries = await prepared.map.entries(at, end);
        for (const entry of entries) await this.#rowOf(prepared, entry);
        const reads = entries.map((entry) =>
          this.#piece(prepared, entry, { offset, end, output, proved, damaged }),
        );
        return { reads, entries };
      });
      this.#looks = look.catch(() => undefined);
      const { reads, entries } = await look;
      await Promise.all(reads);
      const last = entries.at(-1);
      at = last === undefined || entries.length < entriesAtOnce ? end : last.offset + last.length;
    }
    return damaged;
  }

  /** Begins at once to read what an entry has of the range. */
  async #piece(
    { layers }: Prepared,
    entry: MapEntry,
    {
      offset,
      end,
      output,
      proved,
      damaged,
    }: { offset: number; end: number; output: Uint8Array; proved: boolean; damaged: DamagedRange[] },
  ): Promise<void> {
    const from = Math.max(offset, entry.offset);
    const to = Math.min(end, entry.offset + entry.length);
    const part = output.subarray(from - offset, to - offset);
    const row = this.#rows.get(`${entry.layer} ${entry.row}`);
    const layer = layers[entry.layer];
    try {
      if (row === undefined || layer === undefined)
        throw new Fault('OBJECT_MISSING', 'Cannot find the row of an object');
      // Nothing is awaited where the name follows from the number: reads must begin in order.
      const { place } = layer;
      const name = row.number > 0 ? objectName(place.prefix, row.number) : await this.#nameOf(layer, row);
      const key = keyIn(place, name);
      await this.#parts.reader.read(
        { order: this.#order },
        { key, row },
        entry.position + from - entry.offset,
        part,
        proved,
      );
    } catch (thrown) {
      part.fill(0);
      damaged.push({ offset: from, length: to - from, reason: reasonOf(thrown) });
    }
  }

  async #rowOf({ layers }: Prepared, entry: MapEntry): Promise<void> {
    const name = `${entry.layer} ${entry.row}`;
    const known = this.#rows.get(name);
    this.#rows.delete(name);
    if (known !== undefined) {
      this.#rows.set(name, known);
      return;
    }
    const bytes = Buffer.alloc(rowBytes);
    await this.#parts.files.read(layers[entry.layer]?.rowsName ?? '', entry.row * rowBytes, bytes);
    this.#rows.set(name, decodeRow(bytes, 0));
    for (const oldest of this.#rows.keys()) {
      if (this.#rows.size <= rowsHeldMax) break;
      this.#rows.delete(oldest);
    }
  }

  /** A name that does not follow from a number stands in the metadata. */
  async #nameOf({ place }: Layer, { nameAt, nameLength }: ObjectRow): Promise<string> {
    const bytes = Buffer.alloc(nameLength);
    await this.#parts.containers.read(keyIn(place, metadataName(place.prefix)), nameAt, bytes);
    const name = bytes.toString('utf8');
    if (name.startsWith(place.prefix) && !/[/\0]/.test(name.slice(place.prefix.length))) return name;
    throw new Fault('MANIFEST_CORRUPT', `Cannot read backup "${place.backupId}": its metadata has changed`);
  }

  #prepare(): Promise<Prepared> {
    this.#prepared ??= this.#makePrepared().catch((thrown: unknown) => {
      this.#prepared = undefined;
      throw thrown;
    });
    return this.#prepared;
  }

  async #makePrepared(): Promise<Prepared> {
    const { files } = this.#parts;
    const layers = await readChain(this.#parts, this.backupId);
    const list = await hashListOf(this.#parts, layers[0]);
    const evidence = layers.map(({ rowsName }) => rowsName).join(' ');
    const name = files.nameOf('map', `${this.sizeBytes} ${evidence}`);
    const rows = layers.map(({ rowsName, facts }) => ({ name: rowsName, count: facts.objects }));
    await files.make(name, (append) => makeMap(files, rows, this.sizeBytes, append));
    const canCheck = list !== undefined && list.chunkBytes >= checkedMin && list.chunkBytes <= checkedMax;
    return { layers, map: new ChainMap(files, name), list: canCheck ? list : undefined };
  }
}
