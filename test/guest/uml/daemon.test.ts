/** The daemon in the machine: a volume of LVM goes into a backup and comes back onto another one. */

import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { daemonForTest, MiB } from '../../support/fault-world.ts';
import { firstDifference, noise } from '../../support/volume-model.ts';
import { volumeGroup } from '../support/lvm.ts';

test('a thick volume is backed up and restored onto another one', async () => {
  const group = volumeGroup(128 * MiB);
  const [from, onto] = [group.thick('from', 16 * MiB), group.thick('onto', 16 * MiB)];
  const bytes = noise(16 * MiB, 1);
  writeFileSync(from, bytes);
  const daemon = await daemonForTest();
  await daemon.addVolume('v', from);
  const { id } = await daemon.backUp('v');
  await daemon.done(daemon.call('backup.restore', { backup: id, target: onto, force: true }));
  expect(firstDifference(readFileSync(onto), bytes)).toBe(-1);
});
