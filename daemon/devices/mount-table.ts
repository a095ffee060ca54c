/** Devices that are mounted or swapped to, as the kernel lists them. Source: proc(5), /proc/swaps.
 *  Promises: sees the mounts of our own mount namespace only; an exclusive open finds out about the others. */

import { readMountTable, unescapeOctal } from '../base/mount-table.ts';
import { readText, statOf } from './block-names.ts';
import { deviceNumber, identityKey, identityOf } from './locate.ts';

export interface Mount {
  /** Of the device under it: "8:1". */
  readonly number: string;
  readonly mountPoint: string;
}

export async function listMounts(): Promise<Mount[]> {
  const mounts: Mount[] = [];
  for (const { device, directory, source } of await readMountTable()) {
    // btrfs and its like show a number of their own making: only the name leads to the device.
    const hidden = device.startsWith('0:') && source.startsWith('/dev/');
    const stats = hidden ? await statOf(source) : undefined;
    const number = stats?.isBlockDevice() === true ? deviceNumber(stats.rdev) : device;
    mounts.push({ number, mountPoint: directory });
  }
  return mounts;
}

/** Keys (`identityKey`) of the files and devices that are swapped to. */
export async function listSwaps(): Promise<Set<string>> {
  const keys = new Set<string>();
  for (const line of ((await readText('/proc/swaps')) ?? '').split('\n').slice(1)) {
    const stats = await statOf(unescapeOctal(line.split(/\s/)[0] ?? ''));
    if (stats !== undefined) keys.add(identityKey(identityOf(stats)));
  }
  return keys;
}
