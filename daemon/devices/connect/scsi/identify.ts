/** Who a disk is: asked of the disk itself, and compared with what the kernel remembers of it and with its other paths.
 *  Promises: an answer of sysfs is never taken for one of the device; paths count as one volume only where nothing speaks against it. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../../../base/faults.ts';
import type { DeviceIdentity } from '../connector.ts';
import { compareIdentity } from '../identity.ts';
import { wrongDevice } from '../trouble.ts';
import { readNames, readSerial } from './designators.ts';
import { deviceFolder, type ScsiDisk } from './disks.ts';
import type { Scene } from './scene.ts';

export type Names = Pick<DeviceIdentity, 'names' | 'serial'>;

/** Fresh names, size and block of a disk. */
export async function identify({ context: { probe } }: Scene, disk: ScsiDisk): Promise<DeviceIdentity> {
  const names = await probe.scsiIdentity(disk.device);
  return { ...names, ...(await probe.size(disk.device)) };
}

/** What the kernel read when it found the disk, or at its last rescan; undefined where it keeps nothing. */
async function remembered({ context: { folders } }: Scene, disk: ScsiDisk): Promise<Names | undefined> {
  const page = async (name: string) =>
    readFile(join(deviceFolder(folders, disk.address), name)).catch(() => undefined);
  const [names, serial] = [await page('vpd_pg83'), await page('vpd_pg80')];
  if (names === undefined) return undefined;
  return { names: readNames(names), serial: serial === undefined ? null : readSerial(serial) };
}

/** Why the disk is not the volume that the kernel takes it for; undefined where it is. The kernel must not be told to look again
 *  before: it would forget the difference. */
export async function changedSince(scene: Scene, disk: ScsiDisk): Promise<string | undefined> {
  const before = await remembered(scene, disk);
  if (before === undefined) return undefined;
  const now = await scene.context.probe.scsiIdentity(disk.device);
  const verdict = compareIdentity(before, now);
  return verdict.same ? undefined : verdict.why;
}

export interface Known {
  readonly via: string;
  readonly identity: Names;
}

/** WRONG_DEVICE unless all are one volume, and the one that was wanted where that is known. */
export function checkOne(what: string, all: readonly Known[], wanted: Names | null): void {
  const [first, ...others] = all;
  if (first === undefined) return;
  for (const { via, identity } of wanted === null ? [] : all) {
    const verdict = compareIdentity(wanted ?? identity, identity);
    if (!verdict.same) throw wrongDevice(what, `by way of ${via} ${verdict.why}`);
  }
  for (const { via, identity } of others) {
    const verdict = compareIdentity(first.identity, identity);
    if (verdict.same) continue;
    throw wrongDevice(what, `its paths lead to different volumes: by way of ${via} ${verdict.why}`);
  }
  if (first.identity.names.length === 0 && first.identity.serial === null && others.length > 0)
    throw wrongDevice(what, 'nothing shows that its paths lead to one volume: it has no names and no serial');
}

/** WRONG_DEVICE goes on; all else only says that this way can't be used. */
export const passWrongDevice = (thrown: unknown): void => {
  if (thrown instanceof Fault && thrown.code === 'WRONG_DEVICE') throw thrown;
};
