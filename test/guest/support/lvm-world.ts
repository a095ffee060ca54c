/** What tests of LVM volumes share: groups of one volume, what snapshots of ours are in them, the bytes of a backup.
 *  Promises: after a test device-mapper has the maps that it had before. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import type { BackupValue } from '../../../daemon/protocol/values.ts';
import type { Daemon } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { MiB } from '../../support/fault-world.ts';
import { type VolumeGroup, volumeGroup } from './lvm.ts';

export const sizeBytes = 16 * MiB;
/** Between two writes: the machine has one processor. */
export const pause = 0.001;

export const volumesOf = (group: VolumeGroup): string[] =>
  run('lvs', '--noheadings', '-o', 'lv_name', group.name)
    .split('\n')
    .map((name) => name.trim())
    .sort();

export const snapshotsOf = (group: VolumeGroup): string[] =>
  volumesOf(group).filter((name) => /^basalt-[0-9a-f]{32}$/.test(name));

export const attributes = (group: VolumeGroup, name: string): string =>
  run('lvs', '--noheadings', '-o', 'lv_attr,lv_tags', `${group.name}/${name}`).trim();

/** By their names: numbers change when a group is switched off and on. */
export const maps = (): string[] =>
  run('dmsetup', 'ls')
    .split('\n')
    .map((line) => line.replace(/\s.*/, ''))
    .sort();

/** `freeExtents`: how much of the group is left to snapshots. */
export function groupWith(
  kind: 'thick' | 'thin',
  freeExtents?: number,
  others: readonly string[] = [],
): { group: VolumeGroup; path: string } {
  const group = volumeGroup(160 * MiB);
  const path = kind === 'thick' ? group.thick('shop', sizeBytes) : group.thin('shop', sizeBytes);
  for (const name of others) group.thin(name, 64 * MiB);
  if (freeExtents !== undefined) {
    const free = Number(run('vgs', '--noheadings', '-o', 'vg_free_count', group.name));
    group.thick('rest', (free - freeExtents) * 4 * MiB);
  }
  const before = maps();
  onTestFinished(() => expect(maps()).toEqual(before));
  return { group, path };
}

/** The bytes of a backup, restored. */
export async function bytesOf(daemon: Daemon, { id }: Pick<BackupValue, 'id'>): Promise<Buffer> {
  const target = join(daemon.folder, `${id}.out`);
  await daemon.done(daemon.call('backup.restore', { backup: id, target }));
  return readFileSync(target);
}

export const expectNone = (group: VolumeGroup, volumes: readonly string[]): void =>
  expect(volumesOf(group)).toEqual(volumes);

export const overwrite = (path: string, mebibytes: number): void =>
  void run(
    'dd',
    'if=/dev/urandom',
    `of=${path}`,
    'bs=1M',
    `count=${mebibytes}`,
    'oflag=direct',
    'status=none',
  );

/** As fast as it goes from here on; a job that has ended by now is as good. */
export const unlimited = (daemon: Daemon, job: string): Promise<unknown> =>
  daemon.call('job.limit', { job, rate: 0 }).catch(() => undefined);
