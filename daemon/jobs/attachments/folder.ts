/** The folder of one attachment: its sockets and mount points.
 *  Promises: only its owner may look into it; it is removed only when it holds nothing that is still in use, and never what lies
 *  behind a mount point in it. */

import { lstat, mkdir, readdir, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../../base/faults.ts';

export const folderOf = (stateDirectory: string, id: string): string => join(stateDirectory, 'attached', id);

export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

/** Not recursively: a folder that something is mounted on refuses to go (EBUSY), and so does one that holds something (ENOTEMPTY). */
export async function removeFolder(path: string): Promise<void> {
  const names = await readdir(path).catch((thrown: unknown) => {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw thrown;
  });
  if (names === undefined) return;
  for (const name of names) {
    const inner = join(path, name);
    await ((await lstat(inner)).isDirectory() ? rmdir(inner) : unlink(inner));
  }
  await rmdir(path);
}
