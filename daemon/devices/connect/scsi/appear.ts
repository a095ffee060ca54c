/** Makes the disk of a way appear: looks whether it is there, checks it if so, and asks the bus for exactly this one if not.
 *  Promises: only the address that is wanted is scanned; a disk that was there before is used only if the volume behind it is still
 *  the one that the kernel found there; one that is not is taken away if nobody uses it, else WRONG_DEVICE. What is about to be made is
 *  journaled before the scan. */

import { join } from 'node:path';
import { wrongDevice } from '../trouble.ts';
import { addressText, deviceFolder, diskAt, isThere, type ScsiAddress, type ScsiDisk } from './disks.ts';
import { clearHolders, holdersOn, usersOf } from './holders.ts';
import { changedSince } from './identify.ts';
import { removeAddress, removeDisk } from './remove.ts';
import { rest, type Scene, until } from './scene.ts';

/** One way to the volume, as a transport finds it. */
export interface Way {
  readonly via: string;
  /** True where the kernel by itself takes disks away and brings them back, with the port that they are behind: one that has come back
   *  in the place of ours is ours. */
  readonly returns?: boolean;
  /** Undefined where the transport does not reach the target. */
  address(): Promise<ScsiAddress | undefined>;
}

export interface Appeared {
  readonly disk: ScsiDisk;
  /** It was not there before. */
  readonly made: boolean;
}

/** How long a disk may take from the scan to its name, at the first scan; twice as long at the next one, and so on. */
const firstWaitMs = 2_000;
/** The scan of somebody else may be under way, and its disk can't be opened yet. */
const othersScanMs = 2_000;

/** Removes a disk that leads to another volume than the kernel believes, with what came up on it by itself. */
async function purge(scene: Scene, disk: ScsiDisk, why: string): Promise<void> {
  const { context, what } = scene;
  const place = `${disk.device} (${addressText(disk.address)})`;
  context.note(`${place} was there, and ${why}: it is a leftover, and is removed`);
  const used = [...(await usersOf(scene, disk.folder)), ...(await clearHolders(scene, disk.folder))];
  if (used.length > 0) {
    const holders = used.join(', ');
    throw wrongDevice(
      what,
      `${place} leads to another volume than before, and is in use: ${why}; ${holders}`,
    );
  }
  const left = await removeDisk(scene, disk);
  if (left !== undefined) throw wrongDevice(what, `${place} can't be removed: ${why}; ${left}`);
}

/** The disk that was there, where it can be used. */
async function checked(scene: Scene, disk: ScsiDisk, own: boolean): Promise<ScsiDisk | undefined> {
  const why = await changedSince(scene, disk).catch(async (thrown: unknown) => {
    const users = [...(await holdersOn(scene, disk.folder)), ...(await usersOf(scene, disk.folder))];
    // Somebody's path that does not work just now: not ours to take away.
    if (own || users.length > 0) throw thrown;
    return thrown instanceof Error ? thrown.message : String(thrown);
  });
  if (why === undefined) {
    // The size may have changed; where it can't be read, the identity says why later.
    const order = join(deviceFolder(scene.context.folders, disk.address), 'rescan');
    await scene.context.probe.order(order, '1').catch(() => undefined);
    return diskAt(scene.context.folders, disk.address);
  }
  if (own) throw wrongDevice(scene.what, `${disk.device} leads to another volume than before: ${why}`);
  await purge(scene, disk, why);
  return undefined;
}

/** A disk is in sysfs a moment before it can be opened. */
async function openable({ context }: Scene, address: ScsiAddress): Promise<ScsiDisk | undefined> {
  const disk = await diskAt(context.folders, address);
  if (disk === undefined) return undefined;
  const opens = await context.probe.size(disk.device).then(
    () => true,
    () => false,
  );
  return opens ? disk : undefined;
}

/** The disk that was there before. What never becomes one is taken away, as it would hide the volume from a scan. */
async function found(scene: Scene, address: ScsiAddress): Promise<ScsiDisk | undefined> {
  const { folders } = scene.context;
  const look = async () => {
    const disk = await openable(scene, address);
    return disk ?? ((await isThere(folders, address)) ? undefined : null);
  };
  const ready = await until(scene, look, { limitMs: othersScanMs });
  if (ready === null) return undefined;
  const disk = ready ?? (await diskAt(folders, address));
  if (disk === undefined) await removeAddress(scene, address);
  return disk;
}

/** `begin` is called before anything is made; `own`: a disk that is there is of this attachment already. Undefined where the storage shows no disk at the address, after all attempts. */
export async function appear(
  scene: Scene,
  way: Way,
  address: ScsiAddress,
  { own, begin }: { own: boolean; begin: () => Promise<void> },
): Promise<Appeared | undefined> {
  const { context } = scene;
  const { folders, policy, probe } = context;
  const before = await found(scene, address);
  const usable = before === undefined ? undefined : await checked(scene, before, own);
  if (usable !== undefined) return { disk: usable, made: false };
  await begin();
  const { host, channel, target, lun } = address;
  for (let attempt = 1; attempt <= Math.max(1, policy.scanAttempts); attempt += 1) {
    await probe.order(
      join(folders.sys, 'class/scsi_host', `host${host}`, 'scan'),
      `${channel} ${target} ${lun}`,
    );
    const limitMs = firstWaitMs * attempt;
    const disk =
      (await until(scene, () => openable(scene, address), { limitMs })) ?? (await diskAt(folders, address));
    if (disk !== undefined) return { disk, made: true };
    context.note(`${way.via}: no disk after scan ${attempt} of ${policy.scanAttempts}`);
    if (scene.leftMs() === 0) break;
    await rest(scene, 0);
  }
  return undefined;
}
