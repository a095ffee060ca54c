/** Mounts and swap areas, as the kernel lists them. Source: proc(5), /proc/pid/mountinfo and /proc/swaps.
 *  Promises: sees the mounts of our own mount namespace only; an exclusive open finds out about the others. */

import { readText, statOf } from './block-names.ts';
import { deviceNumber, identityKey, identityOf } from './locate.ts';

export interface Mount {
  /** Of the device under it: "8:1". */
  readonly number: string;
  readonly mountPoint: string;
}

/** Space, tab, line feed and backslash are written as octal in these tables. */
export const unescapeOctal = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** One line of mountinfo; undefined where it is not one. */
export function parseMountLine(line: string): (Mount & { readonly device: string }) | undefined {
  const [front, back] = line.split(' - ');
  const [, , number, , mountPoint] = front?.split(' ') ?? [];
  const device = back?.split(' ')[1];
  if (number === undefined || mountPoint === undefined || device === undefined) return undefined;
  return { number, mountPoint: unescapeOctal(mountPoint), device: unescapeOctal(device) };
}

export async function listMounts(): Promise<Mount[]> {
  const mounts: Mount[] = [];
  for (const line of ((await readText('/proc/self/mountinfo')) ?? '').split('\n')) {
    const mount = parseMountLine(line);
    if (mount === undefined) continue;
    // btrfs and its like show a number of their own making: only the name leads to the device.
    const hidden = mount.number.startsWith('0:') && mount.device.startsWith('/dev/');
    const stats = hidden ? await statOf(mount.device) : undefined;
    const number = stats?.isBlockDevice() === true ? deviceNumber(stats.rdev) : mount.number;
    mounts.push({ number, mountPoint: mount.mountPoint });
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
