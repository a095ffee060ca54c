/** The volume of LVM behind a block device, and the device of a volume, as sysfs shows them.
 *  Promises: only reads; a device is told by its number and the uuid that LVM gave it, never by a name under /dev. */

import { join } from 'node:path';
import { blockName, readText } from '../../block-names.ts';
import { splitMapId, splitMapName, type VolumeIds, type VolumeName } from './names.ts';
import type { LogicalVolume } from './report.ts';

/** Undefined where the device is no volume of LVM, or only a part of one. */
export async function volumeBehind(number: string): Promise<(VolumeName & VolumeIds) | undefined> {
  const folder = (await blockName(number))?.folder;
  if (folder === undefined) return undefined;
  const ids = splitMapId((await readText(join(folder, 'dm/uuid'))) ?? '');
  const name = splitMapName((await readText(join(folder, 'dm/name'))) ?? '');
  return ids === undefined || name === undefined ? undefined : { ...ids, ...name };
}

/** "/dev/dm-3"; undefined where the volume is not active, or something else has its number by now. */
export async function deviceOf({ number, groupId, volumeId }: LogicalVolume): Promise<string | undefined> {
  if (number === null) return undefined;
  const behind = await volumeBehind(number);
  if (behind?.groupId !== groupId || behind.volumeId !== volumeId) return undefined;
  return (await blockName(number))?.path;
}
