/** What a repository says of itself. Faults say what stands in the way: REPOSITORY_MISSING, FORMAT_TOO_NEW, REPOSITORY_DAMAGED.
 *  Changes nothing. */

import { Fault } from '../../base/faults.ts';
import { manifestBytesMax } from '../../base/limits.ts';
import { configKey, formatVersion } from '../../format/layout.ts';
import { parseRepositoryConfig, type RepositoryConfig } from '../../format/manifest.ts';
import type { HashFunction } from '../../format/pack.ts';
import type { Storage } from '../../storage/storage.ts';

/** What the repository says of itself. */
export async function readRepositoryConfig(storage: Storage, hash: HashFunction): Promise<RepositoryConfig> {
  const bytes = await storage.get(configKey, manifestBytesMax).catch((thrown: unknown) => {
    if (!(thrown instanceof Fault) || thrown.code !== 'OBJECT_MISSING') throw thrown;
    throw new Fault('REPOSITORY_MISSING', `Cannot open "${storage.url}": there is no repository`, {
      cause: thrown,
    });
  });
  const config = parseRepositoryConfig(bytes, hash);
  if (typeof config === 'number') {
    const message = `Cannot open repository "${storage.url}": its format is version ${config}, this is version ${formatVersion}`;
    throw new Fault('FORMAT_TOO_NEW', message);
  }
  if (typeof config === 'string') {
    throw new Fault(
      'REPOSITORY_DAMAGED',
      `Cannot open repository "${storage.url}": of "${configKey}", ${config}`,
    );
  }
  return config;
}

/** Asks whether the repository that was opened is still there: its file system may have been unmounted, or its folder replaced.
 *  An empty folder in its place must take no backup, and must not count as a repository without any. */
export async function requireSameRepository(
  storage: Storage,
  hash: HashFunction,
  opened: RepositoryConfig,
): Promise<void> {
  const config = await readRepositoryConfig(storage, hash);
  if (config.id === opened.id) return;
  throw new Fault(
    'REPOSITORY_MISSING',
    `Cannot use "${storage.url}": another repository is there by now, "${config.id}"`,
    { hint: 'Put the repository back, or restart basaltd to use the other one' },
  );
}
