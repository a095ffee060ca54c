/** From the URL of a repository to the repository: which storage, which kind, which index. INVALID_ARGUMENT for a URL that
 *  nobody here knows. Promises: each repository has an index of its own, named after its id. */

import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BlockIndex, Native } from '../../native/native.ts';
import { TiB } from '../base/bytes.ts';
import { Fault } from '../base/faults.ts';
import type { HashFunction } from '../format/pack.ts';
import { DirectoryStorage, isEmptyFolder } from '../storage/directory.ts';
import { readRepositoryConfig } from './native/description.ts';
import type { RepositoryMemory } from './native/native-repository.ts';
import { initRepository, openRepository } from './native/open.ts';
import type { Repository } from './repository.ts';

export interface LocationParts {
  readonly url: string;
  /** Who writes: a name that no other user of the storage has. */
  readonly user: string;
  /** Where the index lives. */
  readonly indexFolder: string;
  readonly memory: RepositoryMemory;
  readonly native: Pick<Native, 'openIndex' | 'decode' | 'hash'>;
  readonly compressionLevel: number;
}

export interface RepositoryLocation {
  readonly url: string;
  open(): Promise<Repository>;
  init(blockBytes: number, createdAt: string): Promise<void>;
}

/** Address space of the index, not memory: the file grows with what is in it. */
const indexMapBytes = TiB / 4;

export function openLocation(parts: LocationParts): RepositoryLocation {
  const folder = folderOf(parts.url);
  const hash: HashFunction = (bytes) => parts.native.hash(bytes);
  return {
    url: `file://${folder}`,
    open: () => open(parts, folder, hash),
    init: (blockBytes, createdAt) => init(parts, folder, hash, blockBytes, createdAt),
  };
}

function folderOf(url: string): string {
  if (url.startsWith('/')) return url;
  if (url.startsWith('file:')) return fileURLToPath(url);
  throw new Fault('CONFIG_INVALID', `Cannot use repository "${url}": only file:// URLs are supported`);
}

async function open(parts: LocationParts, folder: string, hash: HashFunction): Promise<Repository> {
  const storage = await DirectoryStorage.open(folder, parts.user);
  const config = await readRepositoryConfig(storage, hash);
  const { native, memory, compressionLevel, indexFolder } = parts;
  let index: BlockIndex;
  try {
    index = native.openIndex(join(indexFolder, `index-${config.id}.mdb`), indexMapBytes);
  } catch (thrown) {
    const message = `Cannot open the index of repository "${storage.url}": ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    throw new Fault('STORAGE_FAILED', message, {
      cause: thrown,
      hint: `Stop basaltd, remove the index files under "${indexFolder}", start it again: they are made anew`,
    });
  }
  const whole = { storage, index, hash, decode: native.decode, config, compressionLevel };
  try {
    const { repository } = await openRepository(whole, memory, new AbortController().signal);
    return repository;
  } catch (thrown) {
    // It is tried again when somebody asks: an index must not be open twice.
    index.close();
    throw thrown;
  }
}

async function init(
  parts: LocationParts,
  folder: string,
  hash: HashFunction,
  blockBytes: number,
  createdAt: string,
): Promise<void> {
  const before = await stat(folder).catch(() => undefined);
  if (before === undefined) {
    await mkdir(folder, { recursive: true, mode: 0o750 }).catch((thrown: unknown) => {
      throw new Fault('STORAGE_FAILED', `Cannot make the folder "${folder}": ${String(thrown)}`, {
        cause: thrown,
      });
    });
  }
  const storage = await DirectoryStorage.open(folder, parts.user);
  try {
    const there = await readRepositoryConfig(storage, hash).then(
      () => true,
      (thrown: unknown) => thrown instanceof Fault && thrown.code !== 'REPOSITORY_MISSING',
    );
    // Files of somebody else are no place for a repository; an existing one is refused by `initRepository`.
    if (!there && !(await isEmptyFolder(folder))) {
      throw new Fault(
        'REPOSITORY_EXISTS',
        `Cannot make a repository at "${folder}": the folder is not empty`,
        {
          hint: 'Name an empty or a new folder',
        },
      );
    }
    await initRepository(storage, hash, blockBytes, createdAt);
  } finally {
    await storage.close();
  }
}
