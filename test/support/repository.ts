/** A native repository in a temporary folder, with real storage, index and addon. */

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { segmentBytes, stageBuffers } from '../../daemon/base/limits.ts';
import { readRepositoryConfig } from '../../daemon/repository/native/description.ts';
import { initRepository, openRepository } from '../../daemon/repository/native/open.ts';
import type { ManifestFields } from '../../daemon/repository/repository.ts';
import { DirectoryStorage } from '../../daemon/storage/directory.ts';
import type { Storage } from '../../daemon/storage/storage.ts';
import { type DecodeParts, native } from '../../native/native.ts';

export async function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'basalt-test-'));
}

/** The same storage, whose objects are no files: everything is read through `read`. */
export const withoutFiles = (bare: Storage): Storage => ({
  url: bare.url,
  writable: () => bare.writable(),
  freeBytes: () => bare.freeBytes(),
  put: (key, bytes) => bare.put(key, bytes),
  upload: () => bare.upload(),
  get: (key, limit) => bare.get(key, limit),
  read: (key, position, output) => bare.read(key, position, output),
  size: (key) => bare.size(key),
  list: (prefix) => bare.list(prefix),
  remove: (key) => bare.remove(key),
  close: () => bare.close(),
});

export async function openTestRepository(
  folder: string,
  options: {
    blockBytes?: number;
    compressionLevel?: number;
    wrap?: (storage: Storage) => Storage;
    /** Leaves the folder behind, for the next opening with `existing`. */
    keep?: boolean;
    existing?: boolean;
  } = {},
) {
  const root = join(folder, 'repository');
  await mkdir(root, { recursive: true });
  const bare: Storage = await DirectoryStorage.open(root, 'test', native);
  const storage = options.wrap?.(bare) ?? bare;
  const hash = (bytes: Uint8Array) => native.hash(bytes);
  const blockBytes = options.blockBytes ?? 64 * KiB;
  const config = await (options.existing === true
    ? readRepositoryConfig(storage, hash)
    : initRepository(storage, hash, blockBytes, '2026-01-01T00:00:00.000Z'));
  const index = native.openIndex(join(folder, 'index.mdb'), 1024 * MiB);
  const memory = {
    pages: new Uint8Array(native.allocateArena(MiB)),
    stage: new Uint8Array(native.allocateArena(stageBuffers * segmentBytes)),
    input: new Uint8Array(native.allocateArena(segmentBytes)),
    output: new Uint8Array(native.allocateArena(segmentBytes)),
  };
  const parts = {
    storage,
    index,
    hash,
    decode: (order: DecodeParts) => native.decode(order),
    config,
    compressionLevel: options.compressionLevel ?? 1,
  };
  const { repository } = await openRepository(parts, memory, new AbortController().signal);
  return {
    repository,
    index,
    root,
    async [Symbol.asyncDispose]() {
      await repository.close();
      index.close();
      if (options.keep !== true) await rm(folder, { recursive: true, force: true });
    },
  };
}

export const fieldsOf = (id: string, sizeBytes: number): ManifestFields => ({
  backup: {
    id,
    name: null,
    description: null,
    project_id: 'default',
    parent_id: null,
    snapshot_id: null,
    container: null,
    availability_zone: null,
    metadata: {},
    created_at: '2026-01-01T00:00:00.000Z',
    data_timestamp: '2026-01-01T00:00:00.000Z',
  },
  volume: { id: 'volume', name: 'volume', source: 'file:///volume', size_bytes: sizeBytes },
  consistency: 'clean',
});
