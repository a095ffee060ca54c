/** Taking down a multipath map that somebody has open for a moment, on a simulated sysfs. */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { takeDown } from '../../../../daemon/devices/connect/multipath/leave.ts';
import { mapOf } from '../../../../daemon/devices/connect/multipath/maps.ts';
import { sceneOf } from '../../../../daemon/devices/connect/scsi/scene.ts';
import type { Tools } from '../../../../daemon/devices/connect/tools.ts';
import { contextForTest } from '../../../support/connect.ts';
import { folderForTest } from '../../../support/devices.ts';

/** A map that is open until it was asked for so often; then it goes when it is told to. */
function mapOpenFor(looks: number, timeoutMs: number) {
  const folder = folderForTest();
  const [sys, dev] = [join(folder, 'sys'), join(folder, 'dev')];
  const block = join(sys, 'block/dm-0');
  for (const [name, text] of [
    ['dm/uuid', 'mpath-3600'],
    ['dm/name', '3600'],
    ['dev', '253:0'],
  ] as const) {
    mkdirSync(join(block, name, '..'), { recursive: true });
    writeFileSync(join(block, name), `${text}\n`);
  }
  let left = looks;
  const ended = (status: number, stdout: string, complaint = '') => ({
    status,
    stdout,
    stderr: '',
    timedOut: false,
    complaint,
  });
  const tools: Tools = {
    find: async (program) => `/sbin/${program}`,
    output: async () => '',
    run: async (program, words) => {
      if (program === 'dmsetup') return ended(0, `${left-- > 0 ? 1 : 0}\n`);
      if (words[0] === '-f' || words[0] === 'del') {
        if (left > 0) return ended(1, '', 'map in use');
        rmSync(block, { recursive: true, force: true });
      }
      return ended(0, 'ok');
    },
  };
  const context = {
    ...contextForTest({ tools, policy: { timeoutMs } }),
    folders: { sys, dev, etc: folder },
  };
  return sceneOf(context, 'iscsi://array/1');
}

async function takeDownOf(scene: ReturnType<typeof mapOpenFor>): Promise<void> {
  const map = await mapOf(scene.context.folders, '3600');
  if (map === undefined) throw new Error('there is no map');
  await takeDown(scene, map);
}

test('who looks at a new disk for a moment is waited for', async () => {
  const scene = mapOpenFor(2, 60_000);
  await takeDownOf(scene);
  expect(await mapOf(scene.context.folders, '3600')).toBeUndefined();
}, 60_000);

test('a map that stays open is busy, and stays', async () => {
  const scene = mapOpenFor(Number.POSITIVE_INFINITY, 7000);
  await expect(takeDownOf(scene)).rejects.toMatchObject({ code: 'DEVICE_BUSY' });
  expect(await mapOf(scene.context.folders, '3600')).toBeDefined();
}, 60_000);
