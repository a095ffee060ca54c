/** From a folder to the native repository in it. Promises: each repository has an index of its own, named after its id, and is
 *  open once. */

import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlockIndex, Native } from '../../../native/native.ts';
import { TiB } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/faults.ts';
import type { RepositoryConfig } from '../../format/manifest.ts';
import type { HashFunction } from '../../format/pack.ts';
import { DirectoryStorage, isEmptyFolder } from '../../storage/directory.ts';
import type { Storage } from '../../storage/storage.ts';
import type { InitOptions, Repository, RepositoryLocation } from '../repository.ts';
import { readRepositoryConfig } from './description.ts';
import type { RepositoryMemory } from './native-repository.ts';
import { initRepository, openRepository } from './open.ts';

export interface NativeLocationParts {
  /** Who writes: a name that no other user of the storage has. */
  readonly user: string;
  /** Where the index lives. */
  readonly indexFolder: string;
  /** Lent for as long as the repository is open. */
  readonly lend: () => Promise<LentMemory>;
  /** Ids of native repositories that are open: none is opened twice. */
  readonly openIds: Set<string>;
  readonly readOnly: boolean;
  readonly native: Pick<Native, 'openIndex' | 'decode' | 'hash' | 'writeAt'>;
  readonly compressionLevel: number;
  /** Block size of a new repository. */
  readonly blockBytes: number;
  readonly clock: Clock;
}

export interface LentMemory extends RepositoryMemory {
  release(): void;
}

/** Address space of the index, not memory: the file grows with what is in it. */
const indexMapBytes = TiB / 4;

export function nativeLocation(parts: NativeLocationParts, folder: string): RepositoryLocation {
  const hash: HashFunction = (bytes) => parts.native.hash(bytes);
  return {
    open: () => open(parts, folder, hash),
    init: (options) => init(parts, folder, hash, options),
  };
}

async function open(parts: NativeLocationParts, folder: string, hash: HashFunction): Promise<Repository> {
  const storage = await DirectoryStorage.open(folder, parts.user, parts.native);
  const config = await readRepositoryConfig(storage, hash);
  if (parts.openIds.has(config.id)) {
    const message = `Cannot open repository "${storage.url}": this daemon has it, or a copy of it, open under another name`;
    throw new Fault('ALREADY_EXISTS', message, { hint: 'Use that one: basaltctl repository list' });
  }
  parts.openIds.add(config.id);
  try {
    return await openClaimed(parts, storage, config, hash);
  } catch (thrown) {
    parts.openIds.delete(config.id);
    throw thrown;
  }
}

async function openClaimed(
  parts: NativeLocationParts,
  storage: Storage,
  config: RepositoryConfig,
  hash: HashFunction,
): Promise<Repository> {
  const { native, compressionLevel, indexFolder, readOnly } = parts;
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
  const whole = { storage, index, hash, decode: native.decode, config, compressionLevel, readOnly };
  let memory: LentMemory | undefined;
  const letGo = (idle: Promise<unknown> = Promise.resolve()) => {
    // It is tried again when somebody asks: an index must not be open twice.
    index.close();
    parts.openIds.delete(config.id);
    void idle.then(() => memory?.release());
  };
  try {
    memory = await parts.lend();
    const { repository } = await openRepository(whole, memory, new AbortController().signal);
    repository.onClosed = letGo;
    return repository;
  } catch (thrown) {
    letGo();
    throw thrown;
  }
}

function refuseForeign({ compression, objectBytes, hashBlockBytes }: InitOptions): void {
  if (compression === undefined && objectBytes === undefined && hashBlockBytes === undefined) return;
  const message = 'Cannot make a native repository with the compression, object or hash block size of Cinder';
  throw new Fault('INVALID_ARGUMENT', message, { hint: 'Leave them out, or name a URL cinder+file:///path' });
}

async function init(
  parts: NativeLocationParts,
  folder: string,
  hash: HashFunction,
  options: InitOptions,
): Promise<void> {
  refuseForeign(options);
  const blockBytes = options.blockBytes ?? parts.blockBytes;
  const createdAt = new Date(parts.clock.now()).toISOString();
  const before = await stat(folder).catch(() => undefined);
  if (before === undefined) {
    await mkdir(folder, { recursive: true, mode: 0o750 }).catch((thrown: unknown) => {
      throw new Fault('STORAGE_FAILED', `Cannot make the folder "${folder}": ${String(thrown)}`, {
        cause: thrown,
      });
    });
  }
  const storage = await DirectoryStorage.open(folder, parts.user, parts.native);
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
