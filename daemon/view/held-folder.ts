/** A folder that is held open while something is mounted on it: whoever owns a part of the path to it may change where the path
 *  leads at any moment. Promises: what was checked of the folder is true of the folder that is mounted on.
 *  Knows nothing of what is mounted. */

import { constants } from 'node:fs';
import { type FileHandle, open, readlink } from 'node:fs/promises';
import { unusable } from './stale-mounts.ts';

/** From Linux, fcntl.h: names a file without opening what is in it. Node has no name for it. */
const pathOnly = 0o10_000_000;

export interface HeldFolder {
  /** Leads to the folder itself, whatever has become of its path. Not to be made canonical. */
  readonly path: string;
  close(): Promise<void>;
}

/** `ownerUid`: whose it must be; null: anybody's. `directory`: its real path. MOUNT_POINT_UNUSABLE. */
export async function holdFolder(directory: string, ownerUid: number | null): Promise<HeldFolder> {
  const flags = pathOnly | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  const handle = await open(directory, flags).catch((thrown: unknown) => {
    throw unusable(directory, thrown instanceof Error ? thrown.message : String(thrown));
  });
  try {
    await check(handle, directory, ownerUid);
    return { path: `/proc/${process.pid}/fd/${handle.fd}`, close: () => handle.close() };
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

async function check(handle: FileHandle, directory: string, ownerUid: number | null): Promise<void> {
  if ((await readlink(`/proc/self/fd/${handle.fd}`)) !== directory)
    throw unusable(directory, 'its path leads to another folder now');
  const { uid } = await handle.stat();
  if (ownerUid !== null && uid !== ownerUid)
    throw unusable(directory, 'it does not belong to who asked for it');
}
