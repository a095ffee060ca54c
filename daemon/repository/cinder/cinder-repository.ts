/** A repository as Cinder's chunked drivers keep it, open. Source: cinder/backup/chunkeddriver.py, format 1.0.0.
 *  Promises: see `repository.ts`; it is written to only where an operator said so, see `writing.ts`. What is kept to read it faster lies in the state folder
 *  of this host. Knows nothing of catalogs, jobs or devices. */

import { createHash, randomUUID } from 'node:crypto';
import type { Native } from '../../../native/native.ts';
import { assert } from '../../base/assert.ts';
import { Fault } from '../../base/faults.ts';
import type { BackupManifest } from '../../format/manifest.ts';
import type { Pool } from '../../memory/pool.ts';
import type {
  AuditReport,
  BackupImage,
  BackupWriter,
  CheckReport,
  CinderWrites,
  FoundManifest,
  InitOptions,
  ManifestFields,
  Progress,
  Repository,
  RepositoryStatistics,
  ScannedBackup,
} from '../repository.ts';
import { auditBackups } from './audit.ts';
import { type ChainParts, hashListOf, readChain, readLayerAt, volumeBytesOf } from './chain.ts';
import { checkObjects } from './check.ts';
import type { Containers } from './containers.ts';
import { differencesOf } from './differences.ts';
import { CinderImage, type ImageParts } from './image.ts';
import { manifestOf } from './manifest.ts';
import { defaultContainer, metadataName } from './names.ts';
import { ObjectReader } from './object-reader.ts';
import { keyIn, type Place, Places, placeOf } from './places.ts';
import { scanBackups } from './scan.ts';
import type { StateFiles } from './state-files.ts';
import type { CinderWriting, ParentBackup } from './writing.ts';

export interface CinderParts {
  readonly containers: Containers;
  readonly files: StateFiles;
  readonly pool: Pool;
  readonly native: Pick<
    Native,
    'openChunkDecoder' | 'zstdDemand' | 'storeChunks' | 'decode' | 'hash' | 'hashChunks'
  >;
  readonly createdAt: string;
  readonly writing: CinderWriting;
}

/** Hash blocks of Cinder's default. */
const blockBytes = 32_768;

export class CinderRepository implements Repository {
  readonly url: string;
  readonly id: string;
  readonly kind = 'cinder';
  readonly blockBytes = blockBytes;
  readonly createdAt: string;
  readonly #parts: CinderParts;
  readonly #chain: ChainParts;
  readonly #reader: ObjectReader;
  readonly #image: ImageParts;

  constructor(parts: CinderParts) {
    this.url = parts.containers.url;
    this.id = idOf(this.url);
    this.createdAt = parts.createdAt;
    this.#parts = parts;
    this.#chain = { ...parts, places: new Places(parts.containers) };
    this.#reader = new ObjectReader(parts);
    this.#image = { ...parts, ...this.#chain, reader: this.#reader };
  }

  requireHere(): Promise<void> {
    return this.#parts.containers.requireHere();
  }

  get writes(): CinderWrites | undefined {
    return this.#parts.writing.writes;
  }

  takeOver(options: InitOptions): Promise<void> {
    return this.#parts.writing.takeOver(options);
  }

  async requireWritable(): Promise<void> {
    await this.requireHere();
    await this.#parts.writing.requireWritable();
  }

  async openWriter(volumeBytes: number, fields?: ManifestFields): Promise<BackupWriter> {
    await this.requireHere();
    assert(fields?.volume.size_bytes === volumeBytes, 'a backup is named before it begins');
    return this.#parts.writing.openWriter(fields, (backupId) => this.#parent(backupId));
  }

  /** Nothing of it is left. BACKUP_HAS_DEPENDENTS. */
  async removeManifest(backupId: string): Promise<void> {
    await this.requireWritable();
    const place = await this.#chain.places.find(backupId);
    for await (const other of this.#places()) {
      if (place === undefined || other.volumeId !== place.volumeId || other.backupId === backupId) continue;
      const layer = await readLayerAt(this.#chain, other).catch(() => undefined);
      if (layer?.facts.parent_id !== backupId) continue;
      const message = `Cannot delete backup "${backupId}": backup "${other.backupId}" depends on it`;
      throw new Fault('BACKUP_HAS_DEPENDENTS', message);
    }
    await this.#parts.writing.remove(backupId, place?.container ?? defaultContainer(backupId));
  }

  /** What an incremental backup on top of it needs to know. */
  async #parent(backupId: string): Promise<ParentBackup | undefined> {
    const layers = await readChain(this.#chain, backupId).catch((thrown: unknown) => {
      if (thrown instanceof Fault && thrown.code.startsWith('MANIFEST_')) return undefined;
      throw thrown;
    });
    const [newest] = layers ?? [];
    if (layers === undefined || newest === undefined) return undefined;
    return {
      sizeBytes: await volumeBytesOf(this.#chain, layers),
      chain: layers.map(({ place }) => place.backupId),
      hashes: await hashListOf(this.#chain, newest),
    };
  }

  audit(progress: Progress, signal: AbortSignal): Promise<AuditReport> {
    return auditBackups({ ...this.#parts, ...this.#chain }, progress, signal);
  }

  openImage(manifest: BackupManifest, options: { fresh?: boolean; random?: boolean } = {}): BackupImage {
    const order = options.random === true ? undefined : randomUUID();
    return new CinderImage(this.#image, manifest.backup.id, manifest.volume.size_bytes, order);
  }

  async manifest(backupId: string): Promise<BackupManifest> {
    const layers = await readChain(this.#chain, backupId);
    return manifestOf(layers, await volumeBytesOf(this.#chain, layers));
  }

  async *manifests(): AsyncIterable<FoundManifest> {
    for await (const place of this.#places()) {
      const key = keyIn(place, metadataName(place.prefix));
      try {
        yield { key, backupId: place.backupId, manifest: await this.manifest(place.backupId) };
      } catch (thrown) {
        if (!(thrown instanceof Fault)) throw thrown;
        yield { key, backupId: place.backupId, fault: thrown };
      }
    }
  }

  /** Every backup there is, complete or not. */
  scan(progress: Progress, signal: AbortSignal): AsyncIterable<ScannedBackup> {
    return scanBackups(this.#chain, progress, signal);
  }

  differences(
    a: BackupManifest,
    b: BackupManifest,
    signal: AbortSignal,
  ): AsyncIterable<{ offset: number; length: number }> {
    return differencesOf(this.#image, a, b, signal);
  }

  /** There is no index: what is kept to be faster goes, and comes again. */
  async rebuildIndex(): Promise<{ key: string; reason: string }[]> {
    await this.#parts.files.clear();
    return [];
  }

  check(options: { readData: boolean }, progress: Progress, signal: AbortSignal): Promise<CheckReport> {
    const manifests = () => this.manifests();
    return checkObjects({ ...this.#image, manifests }, options.readData, progress, signal);
  }

  async statistics(): Promise<RepositoryStatistics> {
    let [backups, packs, storedBytes] = [0, 0, 0];
    for await (const { container, name, sizeBytes } of this.#parts.containers.walk()) {
      const found = placeOf(container, name);
      if (found === undefined) continue;
      storedBytes += sizeBytes;
      if (found.part.kind === 'metadata') backups += 1;
      if (found.part.kind === 'data') packs += 1;
    }
    const freeBytes = await this.#parts.containers.freeBytes();
    return { backups, packs, blocks: 0, storedBytes, indexBytes: this.#parts.files.totalBytes, freeBytes };
  }

  async close(): Promise<void> {
    this.#reader.close();
    this.#parts.files.close();
    await this.#parts.containers.close();
  }

  async *#places(): AsyncIterable<Place> {
    for await (const { container, name } of this.#parts.containers.walk()) {
      const found = placeOf(container, name);
      if (found?.part.kind === 'metadata') yield found.place;
    }
  }
}

/** Nothing in the repository says an id: it follows from where it is. */
export function idOf(url: string): string {
  const digits = createHash('sha256').update(url).digest('hex');
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-8${digits.slice(13, 16)}-8${digits.slice(17, 20)}-${digits.slice(20, 32)}`;
}
