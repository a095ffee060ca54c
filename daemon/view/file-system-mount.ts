/** Mounts the file system inside an image of the view, for `basaltctl mount`, and undoes it.
 *
 *    choose volume ▷ losetup ▷ blkid ▷ mount ▷ check that it is our device          undo: umount ▷ losetup -d
 *
 *  Promises: read-only and without replaying a journal; each thing made is told to `onStep` before the next one is made; a
 *  mount that fails leaves nothing; undoing is safe to repeat, and touches nothing that is not the recorded mount.
 *  Knows nothing of jobs or the catalog. */

import { realpath } from 'node:fs/promises';
import { isAbsolute, normalize } from 'node:path';
import { errnoOf, Fault } from '../base/faults.ts';
import { loopGoneTimeoutMs } from '../base/limits.ts';
import { mountedAt, readMountTable } from '../base/mount-table.ts';
import { isWithin } from '../base/paths.ts';
import { runCommand } from './commands.ts';
import { holdFolder } from './held-folder.ts';
import { attachLoop, backingFile, detachLoop, findLoops } from './loop-devices.ts';
import { chooseVolume, fileSystemAt, type Volume } from './partitions.ts';
import { checkEmptyFolder, unusable } from './stale-mounts.ts';
import type { Partition } from './tables/range.ts';
import { type UnmountOptions, unmountAt } from './unmount.ts';

/** As much of a mount as there is. The fields are those of a mount's record in the catalog. */
export interface FileSystemMount {
  readonly image_path: string;
  readonly directory: string;
  readonly partition: number | null;
  readonly loop_device: string | null;
  readonly file_system: string | null;
}

export interface MountWish {
  readonly imagePath: string;
  readonly directory: string;
  readonly partition: number | null;
  /** Whose folder it must be; null: anybody's. */
  readonly ownerUid: number | null;
  /** Folders that must not be mounted in: the view, the state of the daemon. */
  readonly forbidden: readonly string[];
  /** Called before anything is made, after the loop device is, and after the mount; awaited. */
  readonly onStep: (mount: FileSystemMount) => Promise<void>;
}

/** How each kind is mounted so that nothing is replayed: the image is what the backup holds, whatever its journal says. */
const kinds: Readonly<Record<string, readonly string[]>> = {
  // Without a journal there is none to leave out, and the kernel refuses the option.
  ext2: [],
  ext3: ['noload'],
  ext4: ['noload'],
  xfs: ['norecovery', 'nouuid'],
  btrfs: ['rescue=nologreplay'],
};

/** A device that is held goes by itself later; the daemon that stops need not see it. */
const lazyTimeoutMs = 200;

const isKnown = (fileSystem: string): boolean => Object.hasOwn(kinds, fileSystem);

/** MOUNT_POINT_UNUSABLE, INVALID_ARGUMENT, FILESYSTEM_UNKNOWN, MOUNT_FAILED. */
export async function mountFileSystem(wish: MountWish): Promise<FileSystemMount> {
  const directory = await checkMountPoint(wish.directory, wish.forbidden);
  const volume = await chooseVolume(wish.imagePath, wish.partition, isKnown);
  // Before there is a device: whatever looks at new devices of this host must not see a guest's LVM.
  requireKnown(wish.imagePath, await fileSystemAt(wish.imagePath, rangeOf(volume)));
  let mount: FileSystemMount = {
    image_path: wish.imagePath,
    directory,
    partition: volume.number,
    loop_device: null,
    file_system: null,
  };
  await wish.onStep(mount);
  const loopDevice = await attachLoop(wish.imagePath, volume);
  mount = { ...mount, loop_device: loopDevice };
  try {
    await wish.onStep(mount);
    mount = { ...mount, file_system: await mountDevice(loopDevice, directory, wish) };
    await wish.onStep(mount);
    return mount;
  } catch (thrown) {
    await unmountFileSystem(mount, { lazy: true });
    throw thrown;
  }
}

/** The real path of a folder that can be mounted on. MOUNT_POINT_UNUSABLE. */
export async function checkMountPoint(directory: string, forbidden: readonly string[]): Promise<string> {
  if (!isAbsolute(directory)) throw unusable(directory, 'the path is not absolute');
  const daemons = (folder: string) =>
    unusable(directory, `it is inside "${folder}", which belongs to the daemon`);
  // By its words first: to follow a path through the view takes a thread that the view may need to answer.
  const inside = forbidden.find((folder) => isWithin(normalize(directory), folder));
  if (inside !== undefined) throw daemons(inside);
  const path = await realpath(directory).catch((thrown: unknown) => {
    if (errnoOf(thrown) === 'ENOENT') throw unusable(directory, 'there is no such folder');
    throw unusable(directory, thrown instanceof Error ? thrown.message : String(thrown));
  });
  for (const folder of forbidden) {
    const real = await realpath(folder).catch(() => folder);
    if (isWithin(path, real)) throw daemons(folder);
  }
  if ((await mountedAt(path)) !== undefined) throw unusable(directory, 'something is mounted there');
  await checkEmptyFolder(path);
  return path;
}

/** FILESYSTEM_UNKNOWN unless the kernel is to mount it. */
function requireKnown(imagePath: string, fileSystem: string | undefined): string {
  if (fileSystem !== undefined && isKnown(fileSystem)) return fileSystem;
  const what =
    fileSystem === undefined ? 'no file system is known there' : `"${fileSystem}" is not supported`;
  throw new Fault('FILESYSTEM_UNKNOWN', `Cannot mount "${imagePath}": ${what}`, {
    hint: 'Mount it without --kernel, or read the image itself under the view folder',
  });
}

const rangeOf = ({ number, offset, sizeBytes }: Volume): Partition | undefined =>
  number === null || sizeBytes === undefined ? undefined : { number, offset, sizeBytes };

async function mountDevice(
  loopDevice: string,
  directory: string,
  { imagePath, ownerUid }: MountWish,
): Promise<string> {
  const fileSystem = requireKnown(imagePath, await fileSystemAt(loopDevice));
  const options = ['ro', 'nosuid', 'nodev', 'noexec', ...(kinds[fileSystem] ?? [])].join(',');
  const held = await holdFolder(directory, ownerUid);
  try {
    // As it is: the path leads to the folder that is held, and would not when it is made canonical.
    const words = ['-c', '-t', fileSystem, '-o', options, loopDevice, held.path];
    const { ok, complaint } = await runCommand('mount', ...words);
    if (!ok) throw failed(directory, complaint);
  } finally {
    await held.close();
  }
  // A file system known by its own id (btrfs) may come from another device that has the same id: a copy, or the original.
  // A loop device may have been given to another file meanwhile, by whoever else may do that.
  const top = await mountedAt(directory);
  if (top?.source === loopDevice && (await backingFile(loopDevice)) === imagePath) return fileSystem;
  if (top?.type === fileSystem) await runCommand('umount', directory);
  // The folder may have been moved since: wherever it is now, nothing of ours stays on it.
  for (const entry of await readMountTable())
    if (entry.source === loopDevice) await runCommand('umount', entry.directory);
  throw failed(directory, `the kernel took the file system from "${top?.source ?? 'nowhere'}" instead`);
}

const failed = (directory: string, why: string): Fault =>
  new Fault('MOUNT_FAILED', `Cannot mount the file system at "${directory}": ${why}`);

/** Undoes what is left of a recorded mount; what is not there is no fault. MOUNT_BUSY, DEVICE_FAILED.
 *  Works when the view under it is dead. */
export async function unmountFileSystem(mount: FileSystemMount, options: UnmountOptions): Promise<void> {
  const { directory, loop_device: loopDevice } = mount;
  // The kernel shows the path without that of the view once the view is detached.
  const isOurs = (file: string) =>
    file === mount.image_path || (isImagePath(file) && mount.image_path.endsWith(file));
  if (loopDevice === null) {
    // It may have been made and not recorded. Under a view that lives, another mount of the same backup may use its own.
    if (options.lazy)
      for (const made of await findLoops(isOurs)) await detachLoop(made, isOurs, lazyTimeoutMs);
    return;
  }
  await unmountAt(directory, ({ source }) => source === loopDevice, options);
  const gone = await detachLoop(loopDevice, isOurs, options.lazy ? lazyTimeoutMs : loopGoneTimeoutMs);
  if (gone || options.lazy) return;
  throw new Fault(
    'DEVICE_FAILED',
    `Cannot give back the loop device "${loopDevice}": something still uses it`,
    {
      hint: 'Close what uses it (lsof shows it): it goes away by itself then',
    },
  );
}

/** Gives back every loop device over a file of the view: at start, when all recorded mounts are undone, such a device
 *  is what a crash between making and recording it has left. */
export async function detachLoopsBelow(viewDirectory: string): Promise<void> {
  const isOurs = (file: string) => isWithin(file, viewDirectory);
  // One that is held still goes by itself later: the start of the daemon does not wait for that.
  for (const loopDevice of await findLoops(isOurs)) await detachLoop(loopDevice, isOurs, lazyTimeoutMs);
}

/** A path that ends like that of an image in the view: `/volume/backup/volume.img`. */
const isImagePath = (path: string): boolean => /^\/.+\/.+\/volume\.img$/.test(path);
