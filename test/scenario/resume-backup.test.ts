/** Backups that the end of the daemon interrupts go on by themselves, and never mix two states of a source.
 *  BASALT_RESUME_SEED: the moments of an earlier run. */

import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Daemon } from '../support/daemon.ts';
import { loopOver } from '../support/devices.ts';
import { addNoise, daemonForTest, expectRestores, packsOf, sourceOf } from '../support/fault-world.ts';
import {
  bytesRead,
  eagerSettings,
  events,
  expectAtRest,
  MiB,
  resumedAt,
  untilByte,
} from '../support/resume-world.ts';
import { noise } from '../support/volume-model.ts';

const size = 104 * MiB + 4096;
/** The clock of a file system ticks slowly: a source that was written a moment ago proves nothing. */
const settled = () => wait(2_100);

async function begun(daemon: Daemon) {
  return daemon.call('backup.create', { volume: 'v', rate: 36 * MiB });
}

test('killed in the middle, a backup goes on under the same id, and reads only what was not durable', async () => {
  const daemon = await daemonForTest({ settings: eagerSettings });
  const bytes = await addNoise(daemon, 'v', size, 1);
  await settled();
  const { job_id, backup } = await begun(daemon);
  const before = await untilByte(daemon, job_id, 0.8 * size);
  await daemon.kill();
  await daemon.start();
  expect(await daemon.call('volume.show', { volume: 'v' })).toMatchObject({ status: 'backing-up' });
  const job = await daemon.done({ job_id });
  const position = resumedAt(job);
  expect(position).toBeGreaterThanOrEqual(32 * MiB);
  expect(position).toBeLessThanOrEqual(before.bytes_done + 36 * MiB);
  expect(bytesRead(daemon.pid)).toBeLessThan(size - position + 24 * MiB);
  expect(job.history.map(({ event }) => event)).toEqual([
    'queued',
    'started',
    'interrupted',
    'started',
    'resumed',
    'done',
  ]);
  expect(job.result).toMatchObject({ read_bytes: size, new_bytes: expect.any(Number) });
  expect(await daemon.call('backup.show', { backup: backup.id })).toMatchObject({
    status: 'available',
    read_bytes: size,
    consistency: 'clean',
  });
  const shown = await daemon.basaltctl('job', 'show', job_id);
  expect(shown.stdout).toMatch(/resumed.*at byte \d+: the source has not changed/);
  await expectRestores(daemon, backup.id, bytes);
  await daemon.done(daemon.call('repository.check', { read_data: true }));
  await expectAtRest(daemon);
});

test('stopped by SIGTERM, a backup ends within seconds, and nothing is read twice', async () => {
  const daemon = await daemonForTest({ settings: eagerSettings });
  const bytes = await addNoise(daemon, 'v', size, 2);
  await settled();
  const { job_id, backup } = await begun(daemon);
  const waiting = daemon.basaltctl('job', 'watch', job_id);
  await untilByte(daemon, job_id, 0.5 * size);
  const first = daemon.pid;
  let read = 0;
  const reading = setInterval(() => {
    read = bytesRead(first);
  }, 5);
  const begunAt = performance.now();
  await daemon.stop().finally(() => clearInterval(reading));
  expect(performance.now() - begunAt).toBeLessThan(8_000);
  expect(await waiting).toMatchObject({ status: 75, stderr: expect.stringContaining('next start') });
  await daemon.start();
  const job = await daemon.done({ job_id });
  expect(resumedAt(job)).toBeGreaterThan(0.45 * size);
  expect(events(job, 'interrupted')[0]).toContain('was stopped');
  expect(read + bytesRead(daemon.pid)).toBeLessThan(1.3 * size);
  await expectRestores(daemon, backup.id, bytes);
});

test('a source that has changed meanwhile is read again, whole', async () => {
  const daemon = await daemonForTest({ settings: eagerSettings });
  const bytes = await addNoise(daemon, 'v', size, 3);
  await settled();
  const { job_id, backup } = await begun(daemon);
  await untilByte(daemon, job_id, 0.8 * size);
  await daemon.kill();
  const change = noise(3 * MiB, 4);
  for (const at of [5 * MiB, size - 4 * MiB]) {
    change.copy(bytes, at);
    const file = openSync(sourceOf(daemon, 'v'), 'r+');
    writeSync(file, change, 0, change.length, at);
    closeSync(file);
  }
  await daemon.start();
  const job = await daemon.done({ job_id });
  expect(events(job, 'resumed')).toEqual([expect.stringContaining('byte 0: the source has changed')]);
  await expectRestores(daemon, backup.id, bytes);
  // What was stored before is found again.
  expect(Number(job.result?.['known_bytes'])).toBeGreaterThan(0.2 * size);
});

test('a loop device is gone on with, unless its file was written to meanwhile, past the device', async () => {
  const daemon = await daemonForTest({ settings: eagerSettings });
  const bytes = await addNoise(daemon, 'file', size, 5);
  const device = loopOver(sourceOf(daemon, 'file'));
  await daemon.addVolume('v', device);
  await settled();
  for (const changed of [false, true]) {
    const { job_id, backup } = await begun(daemon);
    await untilByte(daemon, job_id, 0.8 * size);
    await daemon.kill();
    if (changed) {
      const file = openSync(sourceOf(daemon, 'file'), 'r+');
      writeSync(file, noise(4096, 6), 0, 4096, 0);
      closeSync(file);
      noise(4096, 6).copy(bytes, 0);
    }
    await daemon.start();
    const job = await daemon.done({ job_id });
    if (changed) expect(events(job, 'resumed')[0]).toContain('byte 0: the source has changed');
    else expect(resumedAt(job)).toBeGreaterThan(0);
    if (!changed) await expectRestores(daemon, backup.id, bytes);
  }
});

test('a backup whose packs went away meanwhile begins again', async () => {
  const daemon = await daemonForTest({ settings: eagerSettings });
  const bytes = await addNoise(daemon, 'v', size, 7);
  await settled();
  const { job_id, backup } = await begun(daemon);
  await untilByte(daemon, job_id, 0.8 * size);
  await daemon.kill();
  const [pack] = packsOf(daemon);
  if (pack === undefined) throw new Error('no pack is durable');
  rmSync(pack);
  await daemon.start();
  const job = await daemon.done({ job_id });
  expect(events(job, 'resumed')[0]).toContain('not all in the repository any more');
  await expectRestores(daemon, backup.id, bytes);
});

test('a job at which the daemon dies again and again is given up, and its volume is free again', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 8 * MiB, 8);
  const { job_id, backup } = await daemon.call('backup.create', { volume: 'v', rate: MiB });
  for (let crash = 1; crash <= 3; crash += 1) {
    await untilByte(daemon, job_id, MiB);
    await daemon.kill();
    await daemon.start();
  }
  const job = await daemon.ended(job_id);
  expect(job).toMatchObject({ status: 'failed', fault: { code: 'JOB_CRASHED' } });
  expect(events(job, 'interrupted')).toHaveLength(3);
  expect(await daemon.call('backup.show', { backup: backup.id })).toMatchObject({ status: 'error' });
  expect(await daemon.call('volume.show', { volume: 'v' })).toMatchObject({ status: 'available' });
  await expectAtRest(daemon);
});

test('a source that has gone meanwhile fails the backup, with the reason', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 8 * MiB, 9);
  const { job_id, backup } = await daemon.call('backup.create', { volume: 'v', rate: MiB });
  await untilByte(daemon, job_id, MiB);
  await daemon.kill();
  renameSync(sourceOf(daemon, 'v'), join(daemon.folder, 'elsewhere'));
  await daemon.start();
  expect(await daemon.ended(job_id)).toMatchObject({ status: 'failed', fault: { code: 'SOURCE_MISSING' } });
  expect(await daemon.call('backup.show', { backup: backup.id })).toMatchObject({
    status: 'error',
    fail_reason: expect.stringContaining('Cannot open'),
  });
  await expectAtRest(daemon);
});

test('killed or stopped at any moments, a backup ends exact', async () => {
  const seed = Number(process.env['BASALT_RESUME_SEED'] ?? Date.now() % 2 ** 31);
  process.stdout.write(`resume-backup: seed ${seed}\n`);
  const daemon = await daemonForTest({ settings: eagerSettings });
  const bytes = await addNoise(daemon, 'v', 100 * MiB + 777, 10);
  const moment = fc.record({ afterMs: fc.nat(900), how: fc.constantFrom('kill', 'stop') });
  const [moments = []] = fc.sample(fc.array(moment, { minLength: 5, maxLength: 5 }), { seed, numRuns: 1 });
  const { job_id, backup } = await daemon.call('backup.create', { volume: 'v', rate: 32 * MiB });
  for (const { afterMs, how } of moments) {
    await wait(afterMs);
    await (how === 'kill' ? daemon.kill() : daemon.stop());
    await daemon.start();
  }
  const job = await daemon.ended(job_id);
  // Kills that come before the first checkpoint count as crashes at one place.
  if (job.fault?.code === 'JOB_CRASHED') return;
  expect(job.status).toBe('done');
  await expectRestores(daemon, backup.id, bytes);
  await expectAtRest(daemon);
});
