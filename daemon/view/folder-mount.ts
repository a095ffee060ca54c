/** Shows a folder of the view at another place, for `basaltctl mount`: the same files, the same server, the same memory. A bind
 *  mount: whatever becomes of the daemon, one `umount` takes it away.
 *  Promises: read-only, nosuid, nodev, noexec, or it is not there; what was checked of the folder is true of the one that is
 *  mounted on. Knows nothing of jobs or the catalog. */

import { Fault } from '../base/faults.ts';
import { mountedAt } from '../base/mount-table.ts';
import { runCommand } from './commands.ts';
import { holdFolder } from './held-folder.ts';
import { viewMountName } from './stale-mounts.ts';
import { type UnmountOptions, unmountAt } from './unmount.ts';

export interface FolderMountWish {
  /** Of the view. */
  readonly viewDirectory: string;
  /** A folder in it. */
  readonly source: string;
  /** As `checkMountPoint` gave it. */
  readonly directory: string;
  /** Whose folder it must be; null: anybody's. */
  readonly ownerUid: number | null;
}

const needed = ['ro', 'nosuid', 'nodev', 'noexec'];

/** MOUNT_POINT_UNUSABLE, MOUNT_FAILED. */
export async function mountViewFolder(wish: FolderMountWish): Promise<void> {
  const { viewDirectory, source, directory, ownerUid } = wish;
  const held = await holdFolder(directory, ownerUid);
  try {
    const { ok, complaint } = await runCommand('mount', '-c', '--bind', source, held.path);
    if (!ok) throw failed(directory, complaint);
  } finally {
    await held.close();
  }
  const [view, made] = [await mountedAt(viewDirectory), await mountedAt(directory)];
  const isRight = made !== undefined && made.device === view?.device;
  if (isRight && needed.every((option) => made.options.includes(option))) return;
  await unmountViewFolder(directory, { lazy: true });
  throw failed(directory, isRight ? 'it would not be read-only' : 'the folder was moved meanwhile');
}

/** Undoes it, also where the view is dead. MOUNT_BUSY. */
export const unmountViewFolder = (directory: string, options: UnmountOptions): Promise<void> =>
  unmountAt(
    directory,
    ({ type, source }) => type === `fuse.${viewMountName}` && source === viewMountName,
    options,
  );

const failed = (directory: string, why: string): Fault =>
  new Fault('MOUNT_FAILED', `Cannot show the files at "${directory}": ${why}`);
