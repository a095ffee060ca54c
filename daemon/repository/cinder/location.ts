/** From a folder to the Cinder repository in it: as its posix, NFS and GlusterFS drivers keep it. Promises: opening writes nothing
 *  into a folder that was not made or taken over; what is kept to read it faster goes below the state folder of this host. */

import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/faults.ts';
import type { Pool } from '../../memory/pool.ts';
import { ConfinedDirectory } from '../../storage/confined-directory.ts';
import type { InitOptions, Repository, RepositoryLocation } from '../repository.ts';
import { type CinderParts, CinderRepository, idOf } from './cinder-repository.ts';
import { folderMode } from './publish.ts';
import { newSettings } from './settings.ts';
import { StateFiles } from './state-files.ts';
import { CinderWriting, type WritingParts } from './writing.ts';

export interface CinderLocationParts {
  /** The state folder. */
  readonly indexFolder: string;
  readonly native: CinderParts['native'] & WritingParts['native'];
  /** Where objects are decompressed: one for all repositories, lent when the first is opened. */
  readonly chunks: () => Promise<Pool>;
  readonly cacheBytes: number;
  /** Who writes: a name that no other user of the folder has. */
  readonly user: string;
  readonly readOnly: boolean;
  readonly clock: Clock;
}

export function cinderLocation(parts: CinderLocationParts, folder: string): RepositoryLocation {
  return {
    open: () => open(parts, folder),
    init: (options) => init(parts, folder, options),
  };
}

async function open(parts: CinderLocationParts, folder: string): Promise<Repository> {
  const { native, indexFolder, cacheBytes } = parts;
  const containers = await ConfinedDirectory.open(folder, 'cinder+file');
  const files = await StateFiles.open(join(indexFolder, 'cinder', idOf(containers.url)), cacheBytes);
  const { root, url } = containers;
  const writing = await CinderWriting.open({ ...parts, root, url });
  const createdAt = writing.createdAt ?? (await stat(root)).birthtime.toISOString();
  return new CinderRepository({ containers, files, native, createdAt, pool: await parts.chunks(), writing });
}

/** Makes the folder, and what says that we may write to it. */
async function init(parts: CinderLocationParts, folder: string, options: InitOptions): Promise<void> {
  newSettings(options, '');
  await mkdir(folder, { recursive: true, mode: folderMode }).catch((thrown: unknown) => {
    throw new Fault('STORAGE_FAILED', `Cannot make the folder "${folder}": ${String(thrown)}`, {
      cause: thrown,
    });
  });
  const writing = await CinderWriting.open({ ...parts, root: folder, url: `cinder+file://${folder}` });
  await writing.takeOver(options);
}
