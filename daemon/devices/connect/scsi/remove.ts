/** Takes a disk out of the kernel, and sees that it is gone.
 *  Promises: the order to delete may hang as long as the device does, and is waited for within a limit; it resolves when the disk is in
 *  neither sysfs nor /dev, and says so where it is not. Who calls has made sure that nothing stands on it. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readText } from '../../block-names.ts';
import { deviceNumber } from '../../locate.ts';
import { deviceFolder, diskAt, isThere, type ScsiAddress, type ScsiDisk } from './disks.ts';
import { rest, type Scene, until } from './scene.ts';

/** A path that has just failed takes up to half a minute to be given up. */
const goneLimitMs = 60_000;

/** The name under /dev still leads to this disk. A name that is used again for another one is not ours to wait for. */
async function nodeIsThere({ context: { folders } }: Scene, disk: ScsiDisk): Promise<boolean> {
  const stats = await stat(disk.device, { bigint: true }).catch(() => undefined);
  if (stats?.isBlockDevice() !== true || deviceNumber(stats.rdev) !== disk.number) return false;
  const sequence = (await readText(join(folders.sys, 'block', disk.name, 'diskseq'))) ?? null;
  return sequence === disk.sequence;
}

async function isGone(scene: Scene, disk: ScsiDisk): Promise<true | undefined> {
  const now = await diskAt(scene.context.folders, disk.address);
  // Another one by now: ours is gone.
  if (now !== undefined && now.sequence !== disk.sequence) return true;
  if (now !== undefined || (await isThere(scene.context.folders, disk.address))) return undefined;
  return (await nodeIsThere(scene, disk)) ? undefined : true;
}

/** Undefined where it is gone; else why it is not. */
export async function removeDisk(scene: Scene, disk: ScsiDisk): Promise<string | undefined> {
  const { folders, probe } = scene.context;
  const order = join(deviceFolder(folders, disk.address), 'delete');
  let why = 'the kernel goes on to show it';
  // It is gone before the order is answered, or the answer tells why it is not.
  await probe.order(order, '1').catch((thrown: unknown) => {
    why = thrown instanceof Error ? thrown.message : String(thrown);
  });
  const gone = await until(scene, () => isGone(scene, disk), { limitMs: goneLimitMs });
  return gone === true ? undefined : why;
}

/** What has no block device (any more) and still stands at the address. */
export async function removeAddress(scene: Scene, address: ScsiAddress): Promise<void> {
  const { folders, probe } = scene.context;
  await probe.order(join(deviceFolder(folders, address), 'delete'), '1').catch(() => undefined);
  await rest(scene, 0);
}
