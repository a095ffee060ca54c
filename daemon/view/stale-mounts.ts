/** Makes the view folder ready for mounting: what a daemon that was killed left there is detached.
 *  Promises: only a dead mount of ours is ever detached; a folder with anything in it is refused. */

import { mkdir, opendir, realpath, stat } from 'node:fs/promises';
import { errnoOf, Fault } from '../base/faults.ts';
import { mountedAt } from '../base/mount-table.ts';
import { runCommand } from './commands.ts';

/** The source that the mount table shows for the view; its type is "fuse." and this. */
export const viewMountName = 'basalt';

/** A view may have been mounted over a dead one; more than this many is not our doing. */
const layersMax = 16;

/** The real path of the folder, which exists, is empty, and has nothing mounted on it. MOUNT_POINT_UNUSABLE. */
export async function prepareViewDirectory(directory: string): Promise<string> {
  // A dead mount can't be resolved, so it goes first, under the name it was given.
  await detachDeadViews(directory);
  await mkdir(directory, { recursive: true, mode: 0o750 }).catch((thrown: unknown) =>
    refuse(directory, thrown),
  );
  const path = await realpath(directory).catch((thrown: unknown) => refuse(directory, thrown));
  if (path !== directory) await detachDeadViews(path);
  if ((await mountedAt(path)) !== undefined) throw unusable(path, 'something is mounted there');
  await checkEmptyFolder(path);
  return path;
}

/** MOUNT_POINT_UNUSABLE where `path` is not an empty folder. */
export async function checkEmptyFolder(path: string): Promise<void> {
  const found = await stat(path).catch((thrown: unknown) => refuse(path, thrown));
  if (!found.isDirectory()) throw unusable(path, 'it is not a folder');
  const folder = await opendir(path).catch((thrown: unknown) => refuse(path, thrown));
  try {
    if ((await folder.read()) !== null) throw unusable(path, 'it is not empty');
  } finally {
    await folder.close();
  }
}

async function detachDeadViews(directory: string): Promise<void> {
  for (let layer = 0; layer < layersMax; layer++) {
    const top = await mountedAt(directory);
    if (top === undefined || top.source !== viewMountName || top.type !== `fuse.${viewMountName}`) return;
    if (!(await isDead(directory))) throw unusable(directory, 'another basaltd serves its view there');
    const { ok, complaint } = await runCommand('umount', '-l', directory);
    if (!ok) throw unusable(directory, `a dead view can't be detached: ${complaint}`);
  }
}

/** Opening asks the server for certain; attributes may still come from the kernel's memory. */
async function isDead(directory: string): Promise<boolean> {
  try {
    const folder = await opendir(directory);
    await folder.close();
    return false;
  } catch (thrown) {
    const errno = errnoOf(thrown);
    return errno === 'ENOTCONN' || errno === 'ECONNABORTED';
  }
}

export const unusable = (directory: string, why: string): Fault =>
  new Fault('MOUNT_POINT_UNUSABLE', `Cannot mount at "${directory}": ${why}`);

function refuse(directory: string, thrown: unknown): never {
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  throw new Fault('MOUNT_POINT_UNUSABLE', `Cannot mount at "${directory}": ${why}`, { cause: thrown });
}
