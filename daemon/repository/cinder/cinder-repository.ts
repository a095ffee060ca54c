/** A repository as Cinder's chunked drivers keep it, open for reading. Source: cinder/backup/chunkeddriver.py, format 1.0.0.
 *  Promises: see `repository.ts`; nothing is ever written to it from here. What is kept to read it faster lies in the state folder
 *  of this host. Knows nothing of catalogs, jobs or devices. */

import { createHash, randomUUID } from 'node:crypto';
import type { Native } from '../../../native/native.ts';
import { Fault } from '../../base/faults.ts';
import type { BackupManifest } from '../../format/manifest.ts';
import type { Pool } from '../../memory/pool.ts';
import type {
  BackupImage,
  BackupWriter,
  CheckReport,
  FoundManifest,
  Progress,
  Repository,
  RepositoryStatistics,
  ScannedBackup,
} from '../repository.ts';
import { type ChainParts, readChain, volumeBytesOf } from './chain.ts';
import { checkObjects } from './check.ts';
import type { Containers } from './containers.ts';
import { differencesOf } from './differences.ts';
import { CinderImage, type ImageParts } from './image.ts';
import { manifestOf } from './manifest.ts';
import { metadataName } from './names.ts';
import { ObjectReader } from './object-reader.ts';
import { keyIn, type Place, Places, placeOf } from './places.ts';
import { scanBackups } from './scan.ts';
import type { StateFiles } from './state-files.ts';

export interface CinderParts {
  readonly containers: Containers;
  readonly files: StateFiles;
  readonly pool: Pool;
  readonly native: Pick<
    Native,
    'openChunkDecoder' | 'zstdDemand' | 'storeChunks' | 'decode' | 'hash' | 'hashChunks'
  >;
  readonly createdAt: string;
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

  requireWritable(): Promise<void> {
    const message = `Cannot write to repository "${this.url}": repositories of this kind are only read`;
    return Promise.reject(new Fault('REPOSITORY_READ_ONLY', message, { hint: 'Name another repository' }));
  }

  async openWriter(): Promise<BackupWriter> {
    await this.requireWritable();
    throw new Fault('REPOSITORY_READ_ONLY', `Cannot write to repository "${this.url}"`);
  }

  removeManifest(): Promise<void> {
    return this.requireWritable();
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

  differences(a: BackupManifest, b: BackupManifest): AsyncIterable<{ offset: number; length: number }> {
    return differencesOf(this.#image, a, b);
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
