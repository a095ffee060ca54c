/** The map of a thin pool, as device-mapper shows it: below the pool that LVM shows.
 *  Promises: only asks; what is not understood is no answer. Source: Documentation/admin-guide/device-mapper/thin-provisioning.rst
 *  (kernel); dmsetup(8). */

import { join } from 'node:path';
import { blockName, readText } from '../../block-names.ts';
import type { Tools } from '../tools.ts';
import { mapIdOf, type VolumeIds } from './names.ts';

export const poolMapId = (ids: VolumeIds): string => mapIdOf(ids, 'tpool');

const askTimeoutMs = 10_000;
const sectorBytes = 512;

/** What dmsetup says after begin and length of the target; undefined where the map is not there. */
export async function ask(
  tools: Tools,
  what: 'status' | 'table',
  mapId: string,
): Promise<readonly string[] | undefined> {
  // A pool is not asked to write its metadata for our sake.
  const noFlush = what === 'status' ? ['--noflush'] : [];
  const ended = await tools.run('dmsetup', [what, ...noFlush, '--uuid', mapId], { timeoutMs: askTimeoutMs });
  return ended.status === 0 ? ended.stdout.trim().split(/\s+/).slice(2) : undefined;
}

export interface PoolState {
  /** Of the copy of the metadata that is held still for somebody; null: none is. */
  readonly heldBlock: number | null;
  /** Whether its metadata can be changed. */
  readonly writable: boolean;
}

/** "thin-pool 3 119/1024 673/4096 58 rw …": transaction, metadata, data, what is held. */
export function readPoolState([target, , , , held = '', mode]: readonly string[]): PoolState | undefined {
  if (target !== 'thin-pool') return undefined;
  if (held === '-') return { heldBlock: null, writable: mode === 'rw' };
  return /^\d+$/.test(held) ? { heldBlock: Number(held), writable: mode === 'rw' } : undefined;
}

/** Undefined where the pool is not active, or has failed. */
export async function poolState(tools: Tools, mapId: string): Promise<PoolState | undefined> {
  const words = await ask(tools, 'status', mapId);
  return words === undefined ? undefined : readPoolState(words);
}

export interface PoolLayout {
  /** "/dev/dm-0" */
  readonly metadata: string;
  readonly blockBytes: number;
}

/** "thin-pool 254:0 254:1 128 …": devices of metadata and data, sectors of a block. */
export async function poolLayout(tools: Tools, ids: VolumeIds): Promise<PoolLayout | undefined> {
  const [target, number = '', , sectors = ''] = (await ask(tools, 'table', poolMapId(ids))) ?? [];
  const device = await blockName(number);
  if (target !== 'thin-pool' || device === undefined || !/^\d+$/.test(sectors)) return undefined;
  // A part of the same group, and of this kind.
  const mapId = (await readText(join(device.folder, 'dm/uuid'))) ?? '';
  if (!mapId.startsWith(`LVM-${ids.groupId.replaceAll('-', '')}`) || !mapId.endsWith('-tmeta'))
    return undefined;
  return { metadata: device.path, blockBytes: Number(sectors) * sectorBytes };
}
