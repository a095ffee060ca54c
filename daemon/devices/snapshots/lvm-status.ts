/** What device-mapper says of a snapshot while it is read: how full it is. Cheaper than asking LVM, and takes no lock of it.
 *  Source: Documentation/admin-guide/device-mapper/{snapshot,thin-provisioning}.rst (kernel); dmsetup(8). */

import { mapIdOf, type VolumeIds } from '../connect/lvm/names.ts';
import { ask, poolMapId } from '../connect/lvm/pool.ts';
import type { Tools } from '../connect/tools.ts';

export type RoomStatus =
  | { readonly room: 'fits'; readonly percent: number }
  /** Nothing can be read of it any more. */
  | { readonly room: 'lost'; readonly why: string }
  | { readonly room: 'unknown' };

const unknown = { room: 'unknown' } as const;

const shareOf = (text = ''): number => {
  const [used = Number.NaN, total = Number.NaN] = text.split('/').map(Number);
  return (100 * used) / total;
};

/** "snapshot 16/139264 16", or a word in the place of the numbers. */
export function readThick([target, used = '']: readonly string[]): RoomStatus {
  if (target !== 'snapshot') return unknown;
  const percent = shareOf(used);
  if (Number.isFinite(percent)) return { room: 'fits', percent };
  const full = used === 'Invalid' || used === 'Overflow';
  return full
    ? { room: 'lost', why: 'more was written to the volume than its room for changes takes' }
    : unknown;
}

/** "thin-pool 2 112/1024 0/3200 - rw …": transaction, metadata, data. The fuller of the two counts. */
export function readPool([target, first, metadata, data, , mode]: readonly string[]): RoomStatus {
  if (target !== 'thin-pool') return unknown;
  if (first === 'Fail') return { room: 'lost', why: 'its thin pool has failed' };
  if (mode === 'out_of_data_space') return { room: 'lost', why: 'its thin pool has no space left' };
  const percent = Math.max(shareOf(metadata), shareOf(data));
  return Number.isFinite(percent) ? { room: 'fits', percent } : unknown;
}

export async function thickStatus(tools: Tools, ids: VolumeIds): Promise<RoomStatus> {
  const words = await ask(tools, 'status', mapIdOf(ids));
  return words === undefined ? unknown : readThick(words);
}

export async function poolStatus(tools: Tools, ids: VolumeIds): Promise<RoomStatus> {
  const words = await ask(tools, 'status', poolMapId(ids));
  return words === undefined ? unknown : readPool(words);
}
