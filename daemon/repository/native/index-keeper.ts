/** Keeps the index in step with the packs that the storage has: a crash, another host, or somebody's hand may have come
 *  between. Promises: memory does not grow with the number of packs; only `reconcile` forgets packs that are gone, because a
 *  storage that is away for a moment lists none. Knows nothing of backups. */

import { findPacksEveryMs } from '../../base/limits.ts';
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

export class IndexKeeper {
  readonly #parts: Pick<NativeParts, 'storage' | 'index' | 'hash'>;
  #finding: Promise<boolean> | undefined;
  #foundAtMs = Number.NEGATIVE_INFINITY;

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

  /** Adds every pack there is. */
  async addAll(progress: Progress, signal: AbortSignal): Promise<DamagedPack[]> {
    const damaged: DamagedPack[] = [];
    let bytesDone = 0;
    for await (const name of packNames(this.#parts)) {
      signal.throwIfAborted();
      bytesDone += await this.#add(name, damaged);
      progress({ bytesDone, bytesTotal: 0, phase: 'indexing packs' });
    }
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
    for await (const name of packNames(this.#parts, shard.toString(16).padStart(2, '0'))) {
      if (!unseen.delete(name)) await this.#add(name, damaged);
    }
    return unseen;
  }

  /** Adds a pack, or says why it can't be used; gives its size. */
  async #add(name: string, damaged: DamagedPack[]): Promise<number> {
    const key = packKey(name);
    const sizeBytes = await this.#parts.storage.size(key);
    if (sizeBytes === undefined) return 0;
    const directory = await readDirectory(this.#parts, name, sizeBytes);
    if (typeof directory === 'string') damaged.push({ key, reason: directory });
    else await this.#parts.index.addPack(Buffer.from(name, 'hex'), directory, false);
    return sizeBytes;
  }
}
