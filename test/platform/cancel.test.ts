/** Cancelling takes effect within a second, whatever the job is doing: also where a device or the repository does not answer. */

import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { codeOfCall, type Daemon, eventually } from '../support/daemon.ts';
import { freeze, mountedExt4 } from '../support/devices.ts';
import { addNoise, daemonForTest, expectRestores, MiB, sourceOf } from '../support/fault-world.ts';
import { expectAtRest, untilByte } from '../support/resume-world.ts';
import { firstDifference, noise } from '../support/volume-model.ts';

async function cancelledWithinASecond(cancel: () => Promise<unknown>): Promise<void> {
  const begun = performance.now();
  await cancel();
  expect(performance.now() - begun).toBeLessThan(1000);
}

const cancelJob = (daemon: Daemon, job: string) =>
  cancelledWithinASecond(async () => {
    expect(await daemon.call('job.cancel', { job })).toMatchObject({ status: 'cancelled' });
  });

const free = async (daemon: Daemon) =>
  (await daemon.call('status', {})).memory.leases.every(({ owner }) => !/^(backup|restore) /.test(owner));

test('a backup whose source does not answer is cancelled, and its volume is free at once', async () => {
  // The image of another daemon, which is then held: the kernel asks it for every byte.
  const other = await daemonForTest();
  await addNoise(other, 'far', 64 * MiB, 1);
  const image = await other.imageOf(await other.backUp('far'));
  const daemon = await daemonForTest();
  await daemon.addVolume('v', image);
  for (const force of [false, true]) {
    const { job_id, backup } = await daemon.call('backup.create', { volume: 'v', rate: 16 * MiB });
    await untilByte(daemon, job_id, 2 * MiB);
    process.kill(other.pid, 'SIGSTOP');
    // All reads under way hang by then.
    await wait(700);
    try {
      if (force)
        await cancelledWithinASecond(async () => {
          await daemon.done(daemon.call('backup.delete', { backup: backup.id, force: true }));
          expect(await codeOfCall(daemon.call('backup.show', { backup: backup.id }))).toBe('BACKUP_UNKNOWN');
        });
      else {
        await cancelJob(daemon, job_id);
        expect(await daemon.call('backup.show', { backup: backup.id })).toMatchObject({ status: 'error' });
      }
      expect(await daemon.call('volume.show', { volume: 'v' })).toMatchObject({ status: 'available' });
      // The daemon itself lives on.
      expect((await daemon.call('job.list', { active: true })).jobs).toEqual([]);
    } finally {
      process.kill(other.pid, 'SIGCONT');
    }
    await eventually('what the job held comes back', () => free(daemon));
  }
  expect(daemon.log).toContain('What a job had left hanging has come back');
  await expectRestores(daemon, (await daemon.backUp('v')).id, noise(64 * MiB, 1));
});

test('a restore whose target does not answer is cancelled, says what it has changed, and can be continued', async () => {
  const { folder } = mountedExt4(128 * MiB);
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 48 * MiB, 2);
  const { id: backup } = await daemon.backUp('v');
  const path = join(folder, 'target.img');
  writeFileSync(path, noise(48 * MiB, 3));
  await daemon.addVolume('target', path);
  const order = { backup, target: 'target', force: true };
  const { job_id } = await daemon.call('backup.restore', { ...order, rate: 16 * MiB });
  await untilByte(daemon, job_id, 6 * MiB);
  const thaw = freeze(folder);
  await wait(700);
  await cancelJob(daemon, job_id);
  const volume = await daemon.call('volume.show', { volume: 'target' });
  expect(volume).toMatchObject({ status: 'error_restoring', written_ranges: [{ offset: 0 }] });
  expect((await daemon.call('job.show', { job: job_id })).result).toMatchObject({
    written_ranges: volume.written_ranges,
    written_ranges_bytes: volume.written_bytes,
    written_ranges_exact: true,
  });
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
  // What hangs may still be written: nobody else writes there before it is over.
  expect(await codeOfCall(daemon.call('backup.restore', order))).toBe('TARGET_BUSY');
  thaw();
  await eventually('what the job held comes back', () => free(daemon));
  const now = readFileSync(path);
  const end = volume.written_bytes;
  expect(firstDifference(now.subarray(0, end), bytes.subarray(0, end))).toBe(-1);
  expect(firstDifference(now.subarray(end), noise(48 * MiB, 3).subarray(end))).toBe(-1);
  await daemon.done(daemon.call('backup.restore', order));
  expect(firstDifference(readFileSync(path), bytes)).toBe(-1);
  expect(await daemon.call('volume.show', { volume: 'target' })).toMatchObject({
    status: 'available',
    written_ranges: [],
  });
});

test('a backup whose repository does not answer is cancelled, also in its last flush, and never comes to exist', async () => {
  const { folder } = mountedExt4(256 * MiB);
  const daemon = await daemonForTest({ repository: join(folder, 'repository') });
  await addNoise(daemon, 'v', 24 * MiB, 4);
  for (const moment of ['writing', 'flushing']) {
    const rate = moment === 'writing' ? 12 * MiB : 0;
    const { job_id, backup } = await daemon.call('backup.create', { volume: 'v', rate });
    if (moment === 'writing') await untilByte(daemon, job_id, 4 * MiB);
    const thaw = freeze(folder);
    await wait(800);
    await cancelJob(daemon, job_id);
    expect(await daemon.call('volume.show', { volume: 'v' })).toMatchObject({ status: 'available' });
    thaw();
    await eventually('what the job held comes back', () => free(daemon));
    expect(await daemon.call('backup.show', { backup: backup.id })).toMatchObject({ status: 'error' });
    await daemon.done(daemon.call('catalog.rebuild', {}));
    expect((await daemon.call('backup.list', { status: 'available' })).backups).toEqual([]);
  }
});

test('jobs that wait, and jobs on volumes of a tebibyte, are cancelled at once', async () => {
  const daemon = await daemonForTest({ settings: 'max_operations = 1\n' });
  const path = sourceOf(daemon, 'huge');
  writeFileSync(path, noise(16 * MiB, 5));
  truncateSync(path, 2 ** 40);
  await daemon.addVolume('huge', path);
  await addNoise(daemon, 'small', MiB, 6);
  const first = await daemon.call('backup.create', { volume: 'huge', rate: MiB });
  await untilByte(daemon, first.job_id, MiB);
  const second = await daemon.call('backup.create', { volume: 'small' });
  await cancelJob(daemon, second.job_id);
  await cancelJob(daemon, first.job_id);
  const { id: backup } = await daemon.backUp('huge');
  // All of the target holds something: zeros have to be made for a tebibyte.
  const target = join(daemon.folder, 'target.img');
  writeFileSync(target, '');
  truncateSync(target, 2 ** 40);
  const restore = await daemon.call('backup.restore', { backup, target, force: true, rate: 4 * MiB });
  await untilByte(daemon, restore.job_id, MiB);
  await cancelJob(daemon, restore.job_id);
  expect(statSync(target).size).toBe(2 ** 40);
  await expectAtRest(daemon);
});
