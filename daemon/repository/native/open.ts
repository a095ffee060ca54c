/** Opens and makes native repositories. Faults say what stands in the way: REPOSITORY_MISSING, FORMAT_TOO_NEW,
 *  REPOSITORY_DAMAGED, REPOSITORY_EXISTS. Promises: opening changes nothing in the repository. */

import { randomUUID } from 'node:crypto';
import { Fault } from '../../base/faults.ts';
import { fanout } from '../../base/limits.ts';
import { configKey, formatVersion } from '../../format/layout.ts';
import { type RepositoryConfig, sealRepositoryConfig } from '../../format/manifest.ts';
import type { HashFunction } from '../../format/pack.ts';
import type { Storage } from '../../storage/storage.ts';
import { NativeRepository, type RepositoryMemory } from './native-repository.ts';
import type { NativeParts } from './parts.ts';

export async function initRepository(
  storage: Storage,
  hash: HashFunction,
  blockBytes: number,
  createdAt: string,
): Promise<RepositoryConfig> {
  if ((await storage.size(configKey)) !== undefined) {
    throw new Fault(
      'REPOSITORY_EXISTS',
      `Cannot make a repository at "${storage.url}": there is one already`,
    );
  }
  const config: RepositoryConfig = {
    format: formatVersion,
    kind: 'native',
    id: randomUUID(),
    block_bytes: blockBytes,
    fanout,
    hash: 'blake3-256',
    created_at: createdAt,
  };
  await storage.put(configKey, sealRepositoryConfig(config, hash));
  return config;
}

/** Opens it and brings the index in step; `damaged` lists packs that can't be used. */
export async function openRepository(
  parts: NativeParts,
  memory: RepositoryMemory,
  signal: AbortSignal,
): Promise<{ repository: NativeRepository; damaged: { key: string; reason: string }[] }> {
  const repository = new NativeRepository(parts, memory);
  return { repository, damaged: await repository.reconcile(signal) };
}
