/** What a target is, in a text that is the same after a restart only for the same thing: a restore that goes on must never meet
 *  another disk that has got the name meanwhile. Source: sysfs-block (kernel, ABI), "wwid", "uuid" of the device mapper, "diskseq". */

import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { blockName, readText, statOf } from './block-names.ts';
import type { Identity } from './locate.ts';

export async function targetIdentity(
  identity: Identity,
  handle: FileHandle,
  sizeBytes: number,
): Promise<string> {
  if (identity.kind === 'block') return blockIdentity(identity.number, sizeBytes);
  const { dev, ino } = await handle.stat({ bigint: true });
  return fileIdentity(dev, ino, sizeBytes);
}

export const fileIdentity = (device: bigint, inode: bigint, sizeBytes: number): string =>
  `file ${device} ${inode} ${sizeBytes}`;

async function blockIdentity(number: string, sizeBytes: number): Promise<string> {
  const own = await blockName(number);
  if (own === undefined) return `block ${number} unknown`;
  const partition = await readText(join(own.folder, 'partition'));
  const disk = partition === undefined ? own.folder : dirname(own.folder);
  const part = `partition ${partition ?? 'none'} size ${sizeBytes}`;
  const lasting =
    (await readText(join(disk, 'device/wwid'))) ??
    (await readText(join(disk, 'wwid'))) ??
    (await readText(join(disk, 'dm/uuid')));
  if (lasting !== undefined && lasting.trim() !== '') return `block ${lasting.trim()} ${part}`;
  const backing = await readText(join(disk, 'loop/backing_file'));
  const stats = backing === undefined ? undefined : await statOf(backing);
  const offset = await readText(join(disk, 'loop/offset'));
  if (stats !== undefined) return `loop over ${stats.dev} ${stats.ino} at ${offset ?? ''} ${part}`;
  // Nothing lasting is known of it: it is the same only until the next boot, or until it is attached anew.
  const boot = await readText('/proc/sys/kernel/random/boot_id');
  return `block ${number} ${boot ?? ''} ${(await readText(join(disk, 'diskseq'))) ?? ''} ${part}`;
}
