/** From a folder to the Cinder repository in it: as its posix, NFS and GlusterFS drivers keep it. Promises: opening writes nothing
 *  into the folder; what is kept to read it faster goes below the state folder of this host. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../../base/faults.ts';
import type { Pool } from '../../memory/pool.ts';
import { ConfinedDirectory } from '../../storage/confined-directory.ts';
import type { Repository, RepositoryLocation } from '../repository.ts';
import { type CinderParts, CinderRepository, idOf } from './cinder-repository.ts';
import { StateFiles } from './state-files.ts';

export interface CinderLocationParts {
  /** The state folder. */
  readonly indexFolder: string;
  readonly native: CinderParts['native'];
  /** Where objects are decompressed: one for all repositories, lent when the first is opened. */
  readonly chunks: () => Promise<Pool>;
  readonly cacheBytes: number;
}

export function cinderLocation(parts: CinderLocationParts, folder: string): RepositoryLocation {
  return {
    open: () => open(parts, folder),
    init: () =>
      Promise.reject(
        new Fault('REPOSITORY_READ_ONLY', `Cannot make a repository at "${folder}": Cinder makes its own`, {
          hint: 'Name the folder that has the backups of Cinder',
        }),
      ),
  };
}

async function open(parts: CinderLocationParts, folder: string): Promise<Repository> {
  const { native, indexFolder, cacheBytes } = parts;
  const containers = await ConfinedDirectory.open(folder, 'cinder+file');
  const files = await StateFiles.open(join(indexFolder, 'cinder', idOf(containers.url)), cacheBytes);
  const createdAt = (await stat(containers.root)).birthtime.toISOString();
  return new CinderRepository({ containers, files, native, createdAt, pool: await parts.chunks() });
}
