/** A native repository, open: the interface of `repository.ts` put together from its rooms.
 *  Promises: see `repository.ts`. Knows nothing of catalogs, jobs or devices. */

import { Fault } from '../../base/faults.ts';
import { manifestBytesMax } from '../../base/limits.ts';
import { backupIdOf, lockKey, manifestKey, manifestPrefix, noteKey } from '../../format/layout.ts';
import { type BackupManifest, type Manifest, parseManifest } from '../../format/manifest.ts';
import type { WriterState } from '../../format/writer-state.ts';
import type {
  BackupImage,
  CheckReport,
  DamagedRange,
  FoundManifest,
  Notes,
  Progress,
  Repository,
  RepositoryStatistics,
} from '../repository.ts';
import { NativeBackupWriter } from './backup-writer.ts';
import { type BlockOrder, readBlocks } from './block-reader.ts';
import { checkRepository } from './check.ts';
import { requireSameRepository } from './description.ts';
import { IndexKeeper } from './index-keeper.ts';
import { addressesOf, type MapRoot, rootOf, walkDifferences, walkExtents } from './map-walker.ts';
import { notesOf } from './notes.ts';
import { listPacks } from './pack-reader.ts';
import { PackWriter } from './pack-writer.ts';
import { PageCache } from './page-cache.ts';
import type { NativeParts } from './parts.ts';
import { isPresent } from './presence.ts';

/** Memory that the repository needs for itself: pages of maps, what goes into packs, and two buffers for checks. */
export interface RepositoryMemory {
  readonly pages: Uint8Array;
  readonly stage: Uint8Array;
  /** `segmentBytes` each. */
  readonly input: Uint8Array;
  readonly output: Uint8Array;
}

export class NativeRepository implements Repository {
  readonly url: string;
  readonly id: string;
  readonly kind = 'native';
  readonly blockBytes: number;
  readonly createdAt: string;
  readonly notes: Notes;
  readonly #parts: NativeParts;
  readonly #memory: RepositoryMemory;
  readonly #cache: PageCache;
  readonly #packs: PackWriter;
  readonly #keeper: IndexKeeper;
  /** The check under way. */
  #check: Promise<CheckReport> | undefined;
  /** Called when it is closed; what was lent may go when `idle` resolves, which a storage or source that hangs may put off for ever. */
  onClosed: (idle: Promise<unknown>) => void = () => undefined;

  constructor(parts: NativeParts, memory: RepositoryMemory) {
    this.url = parts.storage.url;
    this.id = parts.config.id;
    this.blockBytes = parts.config.block_bytes;
    this.createdAt = parts.config.created_at;
    this.notes = notesOf(parts);
    this.#keeper = new IndexKeeper(parts);
    this.#parts = { ...parts, findNewPacks: () => this.#keeper.findNew() };
    this.#memory = memory;
    this.#cache = new PageCache(this.#parts, memory.pages);
    this.#packs = new PackWriter(parts, memory.stage);
  }

  async openWriter(volumeBytes: number): Promise<NativeBackupWriter> {
    await this.requireWritable();
    // A block may only count as known while its pack is there: somebody may have removed packs since the last look.
    await this.#keeper.reconcileToWrite();
    return new NativeBackupWriter(this.#parts, this.#cache, this.#packs, volumeBytes);
  }

  async resumeWriter(state: WriterState, signal: AbortSignal): Promise<NativeBackupWriter | undefined> {
    await this.requireWritable();
    await this.reconcile(signal);
    if (state.blockBytes !== this.blockBytes) return undefined;
    if (!(await isPresent(this.#parts, this.#cache, state, signal))) return undefined;
    return new NativeBackupWriter(this.#parts, this.#cache, this.#packs, state.sizeBytes, state);
  }

  openImage(manifest: BackupManifest, options: { fresh?: boolean; random?: boolean } = {}): BackupImage {
    if (options.fresh === true) this.#cache.clear();
    const map = rootOf(manifest);
    const inOrder = options.random !== true;
    return {
      backupId: manifest.backup.id,
      sizeBytes: manifest.volume.size_bytes,
      blockBytes: map.blockBytes,
      extents: () => walkExtents(this.#cache, map),
      read: (offset, output, scratch) => this.#readImage(map, offset, { output, scratch, inOrder }),
    };
  }

  async manifest(backupId: string): Promise<Manifest> {
    const key = manifestKey(backupId);
    const bytes = await this.#parts.storage.get(key, manifestBytesMax).catch(async (thrown: unknown) => {
      if (!(thrown instanceof Fault) || thrown.code !== 'OBJECT_MISSING') throw thrown;
      await this.requireHere();
      throw new Fault('MANIFEST_MISSING', `Cannot read backup "${backupId}": its manifest is missing`, {
        cause: thrown,
      });
    });
    const manifest = parseManifest(bytes, this.#parts.hash);
    if (typeof manifest === 'string') {
      throw new Fault('MANIFEST_CORRUPT', `Cannot use manifest "${key}": ${manifest}`);
    }
    if (manifest.backup.id !== backupId) {
      throw new Fault('MANIFEST_CORRUPT', `Cannot use manifest "${key}": it is of another backup`);
    }
    if (manifest.map.block_bytes !== this.blockBytes) {
      throw new Fault(
        'MANIFEST_CORRUPT',
        `Cannot use manifest "${key}": its block size is not that of the repository`,
      );
    }
    return manifest;
  }

  async *manifests(): AsyncIterable<FoundManifest & { readonly manifest?: Manifest }> {
    for await (const key of this.#parts.storage.list(manifestPrefix)) {
      const backupId = backupIdOf(key);
      if (backupId === undefined) continue;
      try {
        yield { key, backupId, manifest: await this.manifest(backupId) };
      } catch (thrown) {
        if (!(thrown instanceof Fault) || thrown.code === 'REPOSITORY_MISSING') throw thrown;
        // It was deleted between the listing and the reading.
        if (thrown.code !== 'MANIFEST_MISSING') yield { key, backupId, fault: thrown };
      }
    }
  }

  async removeManifest(backupId: string): Promise<void> {
    await this.requireWritable();
    await this.#parts.storage.remove(manifestKey(backupId));
    // A note without a manifest means nothing: one that stays does no harm.
    await this.#parts.storage.remove(noteKey(backupId)).catch(() => undefined);
  }

  differences(
    a: BackupManifest,
    b: BackupManifest,
    signal: AbortSignal,
  ): AsyncIterable<{ offset: number; length: number }> {
    return walkDifferences(this.#cache, rootOf(a), rootOf(b), signal);
  }

  async rebuildIndex(progress: Progress, signal: AbortSignal): Promise<{ key: string; reason: string }[]> {
    await this.requireHere();
    await this.#packs.flush();
    await this.#parts.index.clear();
    try {
      return await this.#keeper.addAll(progress, signal);
    } catch (thrown) {
      // With half an index whole backups would look damaged.
      await this.#keeper.addNew().catch(() => undefined);
      throw thrown;
    }
  }

  /** Brings the index in step with the packs that are there. */
  reconcile(signal: AbortSignal): Promise<{ key: string; reason: string }[]> {
    return this.#keeper.reconcile(signal);
  }

  async check(options: { readData: boolean }, progress: Progress, signal: AbortSignal): Promise<CheckReport> {
    if (this.#check !== undefined)
      throw new Fault('REPOSITORY_LOCKED', `Cannot check "${this.url}": a check is under way`);
    this.#check = this.#runCheck(options.readData, progress, signal);
    try {
      return await this.#check;
    } finally {
      this.#check = undefined;
    }
  }

  async #runCheck(readData: boolean, progress: Progress, signal: AbortSignal): Promise<CheckReport> {
    this.#cache.clear();
    await this.requireHere();
    const { input, output } = this.#memory;
    const manifests = () => this.manifests();
    const update = () => this.#keeper.addNew();
    const parts = { ...this.#parts, cache: this.#cache, input, output, manifests, update };
    return checkRepository(parts, readData, progress, signal);
  }

  async statistics(): Promise<RepositoryStatistics> {
    const { storage, index } = this.#parts;
    let [backups, packs, storedBytes] = [0, 0, 0];
    for await (const key of storage.list(manifestPrefix)) backups += backupIdOf(key) === undefined ? 0 : 1;
    for await (const { sizeBytes } of listPacks(this.#parts)) {
      packs += 1;
      storedBytes += sizeBytes;
    }
    const { blocks, bytes } = index.statistics();
    return { backups, packs, blocks, storedBytes, indexBytes: bytes, freeBytes: await storage.freeBytes() };
  }

  async close(): Promise<void> {
    // Work that was given up may still use what is lent.
    const idle = Promise.allSettled([this.#packs.close(), this.#cache.settled(), this.#check]);
    await this.#packs.flush();
    await this.#parts.storage.close();
    this.onClosed(idle);
  }

  async #readImage(
    map: MapRoot,
    offset: number,
    into: Pick<BlockOrder, 'output' | 'scratch' | 'inOrder'>,
  ): Promise<DamagedRange[]> {
    const { blockBytes } = map;
    const { output } = into;
    let addresses: Uint8Array;
    try {
      addresses = await addressesOf(this.#cache, map, offset, output.length / blockBytes);
    } catch (thrown) {
      if (!(thrown instanceof Fault) || thrown.code !== 'CHUNK_CORRUPT') throw thrown;
      output.fill(0);
      return [{ offset, length: output.length, reason: thrown.message }];
    }
    const bad = await readBlocks(this.#parts, { ...into, addresses, blockBytes });
    return bad.map(({ number, reason }) => ({
      offset: offset + number * blockBytes,
      length: blockBytes,
      reason,
    }));
  }

  async requireHere(): Promise<void> {
    const { storage, hash, config } = this.#parts;
    await requireSameRepository(storage, hash, config);
  }

  async requireWritable(): Promise<void> {
    const { storage } = this.#parts;
    await this.requireHere();
    if ((await storage.size(lockKey)) !== undefined) {
      throw new Fault(
        'REPOSITORY_LOCKED',
        `Cannot write to repository "${this.url}": another host has locked it`,
      );
    }
    if (this.#parts.readOnly === true || !(await storage.writable())) {
      throw new Fault('REPOSITORY_READ_ONLY', `Cannot write to repository "${this.url}": it is read-only`);
    }
  }
}
