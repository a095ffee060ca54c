/** Disks of the SCSI layer as sysfs shows them, by their address: host, channel, target and number of the unit.
 *  Promises: only reads; by-path links and names are not relied on; what goes away while it is looked at is as good as absent.
 *  What is read here is what the kernel remembers: who the device is has to be asked of the device. Source: sysfs of scsi_mod. */

import { realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { namesIn, readText } from '../../block-names.ts';
import type { SystemFolders } from '../connector.ts';

export interface ScsiAddress {
  readonly host: number;
  readonly channel: number;
  readonly target: number;
  readonly lun: number;
}

export const addressText = ({ host, channel, target, lun }: ScsiAddress): string =>
  `${host}:${channel}:${target}:${lun}`;

export interface ScsiDisk {
  readonly address: ScsiAddress;
  /** "sdb" */
  readonly name: string;
  /** "/dev/sdb" */
  readonly device: string;
  /** "8:16" */
  readonly number: string;
  /** Of the block device, in sysfs. */
  readonly folder: string;
  /** A number that no other disk of this boot has had; null on kernels before 5.15. */
  readonly sequence: string | null;
  /** "running", "offline", "transport-offline", "blocked". */
  readonly state: string;
}

/** Where the orders to the device are written: "delete", "rescan". */
export const deviceFolder = ({ sys }: SystemFolders, address: ScsiAddress): string =>
  join(sys, 'class/scsi_device', addressText(address), 'device');

export async function diskAt(folders: SystemFolders, address: ScsiAddress): Promise<ScsiDisk | undefined> {
  const folder = deviceFolder(folders, address);
  const [name] = await namesIn(join(folder, 'block'));
  if (name === undefined) return undefined;
  const block = join(folder, 'block', name);
  const number = await readText(join(block, 'dev'));
  if (number === undefined) return undefined;
  const state = (await readText(join(folder, 'state'))) ?? 'unknown';
  const sequence = (await readText(join(block, 'diskseq'))) ?? null;
  return { address, name, device: join(folders.dev, name), number, folder: block, sequence, state };
}

/** Whether anything stands at the address, also a device that is no disk (any more). */
export const isThere = async (folders: SystemFolders, address: ScsiAddress): Promise<boolean> =>
  (await namesIn(deviceFolder(folders, address))).length > 0;

/** Addresses of all devices of a host. */
export async function addressesOf({ sys }: SystemFolders, host: number): Promise<ScsiAddress[]> {
  const all = (await namesIn(join(sys, 'class/scsi_device'))).map((name) => name.split(':').map(Number));
  return all.flatMap(([h, channel, target, lun]) =>
    h === host && channel !== undefined && target !== undefined && lun !== undefined
      ? [{ host, channel, target, lun }]
      : [],
  );
}

/** The number behind "host" in the last folder of that name on the way to `path`, with all links followed. */
export async function hostAbove(path: string): Promise<number | undefined> {
  const real = await realpath(path).catch(() => '');
  const found = real.split('/').findLast((name) => /^host\d+$/.test(name));
  return found === undefined ? undefined : Number(found.slice('host'.length));
}

/** "sdb1" for a disk "sdb": partitions, whose holders hold the disk as well. */
export async function partitionsOf(folder: string): Promise<string[]> {
  const own = basename(folder);
  return (await namesIn(folder)).filter((name) => name.startsWith(own)).map((name) => join(folder, name));
}
