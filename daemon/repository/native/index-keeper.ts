/** Keeps the index in step with the packs that the storage has: a crash, another host, or somebody's hand may have come
 *  between. Promises: memory does not grow with the number of packs; only `reconcile` forgets packs that are gone, because a
 *  storage that is away for a moment lists none. Knows nothing of backups. */

import type { BlockIndex } from '../../../native/native.ts';
import { findPacksEveryMs, packBlocksMax } from '../../base/limits.ts';
import { entryBytes } from '../../format/block-layouts.ts';
import { packKey } from '../../format/layout.ts';
import type { Progress } from '../repository.ts';
import { packNames, readDirectory } from './pack-reader.ts';
import type { NativeParts } from './parts.ts';

export interface DamagedPack {
  readonly key: string;
  readonly reason: string;
}

/** Packs are looked at in parts, by the first byte of their names. */
const shards = 256;
/** Blocks that are added and flushed together: what one transaction changes is held in memory. */
const blocksTogether = 2 * packBlocksMax;

/** Packs on their way into the index. */
class Batch {
  readonly #index: Pick<BlockIndex, 'addPacks'>;
  #names: Buffer[] = [];
  #directories: Buffer[] = [];
  #blocks = 0;

  constructor(index: Pick<BlockIndex, 'addPacks'>) {
    this.#index = index;
  }

  async add(name: string, directory: Buffer): Promise<void> {
    this.#names.push(Buffer.from(name, 'hex'));
    this.#directories.push(directory);
    this.#blocks += directory.length / entryBytes;
    if (this.#blocks >= blocksTogether) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#names.length === 0) return;
    const counts = Buffer.alloc(this.#names.length * 4);
    this.#directories.forEach(({ length }, i) => counts.writeUInt32LE(length / entryBytes, i * 4));
    const [names, entries] = [Buffer.concat(this.#names), Buffer.concat(this.#directories)];
    this.#names = [];
    this.#directories = [];
    this.#blocks = 0;
    await this.#index.addPacks(names, entries, counts, false);
  }
}

export class IndexKeeper {
  readonly #parts: Pick<NativeParts, 'storage' | 'index' | 'hash'>;
  #finding: Promise<boolean> | undefined;
  #foundAtMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<unknown> = Promise.resolve();
  #nextLook: Promise<unknown> | undefined;

  constructor(parts: Pick<NativeParts, 'storage' | 'index' | 'hash'>) {
    this.#parts = parts;
  }

  /** Adds what is new and forgets what is gone; gives the packs that can't be used. */
  async reconcile(signal: AbortSignal): Promise<DamagedPack[]> {
    const damaged: DamagedPack[] = [];
    let dropped = false;
    for (let shard = 0; shard < shards; shard += 1) {
      signal.throwIfAborted();
      const gone = await this.#addNew(shard, damaged);
      if (gone.size > 0) await this.#parts.index.dropPacks(Buffer.from([...gone].join(''), 'hex'));
      dropped ||= gone.size > 0;
    }
    // Another pack may hold a second copy of what went with a dropped one.
    return dropped ? this.addAll(() => undefined, signal) : damaged;
  }

  /** `reconcile` for who begins to write: whoever asks while one goes on shares the next one, which sees what they must see. */
  async reconcileToWrite(): Promise<void> {
    this.#nextLook ??= this.#looking.then(() => {
      this.#nextLook = undefined;
      const look = this.reconcile(new AbortController().signal);
      this.#looking = look.catch(() => undefined);
      return look;
    });
    await this.#nextLook;
  }

  /** Adds every pack there is. */
  async addAll(progress: Progress, signal: AbortSignal): Promise<DamagedPack[]> {
    const damaged: DamagedPack[] = [];
    const batch = new Batch(this.#parts.index);
    let bytesDone = 0;
    for await (const name of packNames(this.#parts)) {
      signal.throwIfAborted();
      bytesDone += await this.#add(name, damaged, batch);
      progress({ bytesDone, bytesTotal: 0, phase: 'indexing packs' });
    }
    await batch.flush();
    return damaged;
  }

  /** Adds what is new; true where there was something. */
  async addNew(): Promise<boolean> {
    const before = this.#parts.index.statistics().packs;
    for (let shard = 0; shard < shards; shard += 1) await this.#addNew(shard, []);
    return this.#parts.index.statistics().packs > before;
  }

  /** `addNew` for a read that meets an unknown block: one look at a time, and not all the time. */
  findNew(): Promise<boolean> {
    if (performance.now() - this.#foundAtMs < findPacksEveryMs) return Promise.resolve(false);
    this.#finding ??= this.addNew().finally(() => {
      this.#finding = undefined;
      this.#foundAtMs = performance.now();
    });
    return this.#finding;
  }

  /** Gives the packs of the shard that the index knows and the storage does not list. */
  async #addNew(shard: number, damaged: DamagedPack[]): Promise<Set<string>> {
    const names = await this.#parts.index.packNames(Uint8Array.of(shard));
    const unseen = new Set<string>();
    for (let at = 0; at < names.length; at += 32) unseen.add(names.toString('hex', at, at + 32));
    const batch = new Batch(this.#parts.index);
    for await (const name of packNames(this.#parts, shard.toString(16).padStart(2, '0'))) {
      if (!unseen.delete(name)) await this.#add(name, damaged, batch);
    }
    await batch.flush();
    return unseen;
  }

  /** Adds a pack, or says why it can't be used; gives its size. */
  async #add(name: string, damaged: DamagedPack[], batch: Batch): Promise<number> {
    const key = packKey(name);
    const sizeBytes = await this.#parts.storage.size(key);
    if (sizeBytes === undefined) return 0;
    const directory = await readDirectory(this.#parts, name, sizeBytes);
    if (typeof directory === 'string') damaged.push({ key, reason: directory });
    else await batch.add(name, directory);
    return sizeBytes;
  }
}
