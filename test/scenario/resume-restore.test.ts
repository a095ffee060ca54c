/** Restores that the end of the daemon interrupts go on by themselves, on the very target that they began on.
 *  BASALT_RESUME_SEED: the moments of an earlier run. */

import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Daemon, eventually } from '../support/daemon.ts';
import { addNoise, daemonForTest, leftovers } from '../support/fault-world.ts';
import { eagerSettings, events, expectAtRest, MiB, resumedAt, untilByte } from '../support/resume-world.ts';
import { firstDifference, noise } from '../support/volume-model.ts';

const size = 96 * MiB + 512;
const rate = 36 * MiB;

async function world() {
  const daemon = await daemonForTest({ settings: eagerSettings });
  const bytes = await addNoise(daemon, 'v', size, 1);
  const { id: backup } = await daemon.backUp('v');
  return { daemon, bytes, backup };
}

/** A registered target with something in it. */
async function dirtyTarget(daemon: Daemon): Promise<string> {
  const path = join(daemon.folder, 'target.img');
  writeFileSync(path, noise(size + MiB, 2));
  await daemon.addVolume('target', path);
  return path;
}

const partials = (daemon: Daemon) => readdirSync(daemon.folder).filter((name) => name.endsWith('.partial'));

test('killed in the middle, a restore to a new file goes on in it, and writes nothing twice that was durable', async () => {
  const { daemon, bytes, backup } = await world();
  const target = join(daemon.folder, 'new.out');
  const { job_id } = await daemon.call('backup.restore', { backup, target, rate });
  await untilByte(daemon, job_id, 0.6 * size);
  const [partial = ''] = partials(daemon);
  const { ino } = statSync(join(daemon.folder, partial));
  await daemon.kill();
  await daemon.start();
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'restoring' });
  const job = await daemon.done({ job_id });
  expect(resumedAt(job)).toBeGreaterThanOrEqual(32 * MiB);
  expect(firstDifference(readFileSync(target), bytes)).toBe(-1);
  expect(statSync(target).ino).toBe(ino);
  expect(job.result).toMatchObject({ restored_bytes: size, written_bytes: size });
  expect(leftovers(daemon.folder)).toEqual(['new.out']);
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
  await expectAtRest(daemon);
});

test.each(['stop', 'kill'] as const)(
  'after a %s an existing target is compared and gone on with',
  async (how) => {
    const { daemon, bytes, backup } = await world();
    const path = await dirtyTarget(daemon);
    const order = { backup, target: 'target', force: true, rate };
    const { job_id } = await daemon.call('backup.restore', order);
    await untilByte(daemon, job_id, 0.6 * size);
    await daemon[how]();
    // Somebody wrote to it meanwhile, where the restore had been.
    const meddled = readFileSync(path);
    noise(MiB, 3).copy(meddled, 7 * MiB);
    writeFileSync(path, meddled);
    await daemon.start();
    expect(await daemon.call('volume.show', { volume: 'target' })).toMatchObject({
      status: 'restoring-backup',
    });
    const job = await daemon.done({ job_id });
    expect(events(job, 'resumed')[0]).toContain('is compared');
    expect(resumedAt(job)).toBeGreaterThanOrEqual(32 * MiB);
    // Compared, and only what was not right written again.
    expect(Number(job.result?.['unchanged_bytes'])).toBeGreaterThanOrEqual(30 * MiB);
    expect(firstDifference(readFileSync(path).subarray(0, size), bytes)).toBe(-1);
    expect(firstDifference(readFileSync(path).subarray(size), noise(size + MiB, 2).subarray(size))).toBe(-1);
    expect(await daemon.call('volume.show', { volume: 'target' })).toMatchObject({
      status: 'available',
      written_ranges: [],
      written_bytes: 0,
    });
  },
);

test('a target that is another one by now is left alone', async () => {
  const { daemon, backup } = await world();
  const path = await dirtyTarget(daemon);
  const { job_id } = await daemon.call('backup.restore', { backup, target: 'target', force: true, rate });
  await untilByte(daemon, job_id, 0.6 * size);
  await daemon.kill();
  const innocent = noise(size + MiB, 4);
  rmSync(path);
  // An inode may be used again at once: another file takes it.
  writeFileSync(join(daemon.folder, 'in-between'), '');
  writeFileSync(path, innocent);
  await daemon.start();
  const job = await daemon.failed(Promise.resolve({ job_id }), 'TARGET_UNUSABLE');
  expect(job.fault?.message).toContain('something else is there');
  expect(firstDifference(readFileSync(path), innocent)).toBe(-1);
  const volume = await daemon.call('volume.show', { volume: 'target' });
  expect(volume).toMatchObject({ status: 'error_restoring' });
  expect(volume.written_bytes).toBeGreaterThan(0.3 * size);
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
});

test('a file in the making that has gone is made again', async () => {
  const { daemon, bytes, backup } = await world();
  const target = join(daemon.folder, 'new.out');
  const { job_id } = await daemon.call('backup.restore', { backup, target, rate });
  await untilByte(daemon, job_id, 0.6 * size);
  await daemon.kill();
  for (const name of partials(daemon)) rmSync(join(daemon.folder, name));
  await daemon.start();
  const job = await daemon.done({ job_id });
  expect(events(job, 'resumed')[0]).toContain('from byte 0');
  expect(firstDifference(readFileSync(target), bytes)).toBe(-1);
});

test('a name that somebody has taken meanwhile is not taken from him', async () => {
  const { daemon, backup } = await world();
  const target = join(daemon.folder, 'new.out');
  const { job_id } = await daemon.call('backup.restore', { backup, target, rate });
  await untilByte(daemon, job_id, 0.6 * size);
  await daemon.kill();
  writeFileSync(target, 'mine');
  await daemon.start();
  await daemon.failed(Promise.resolve({ job_id }), 'TARGET_EXISTS');
  expect(readFileSync(target, 'utf8')).toBe('mine');
  await daemon.kill();
  await daemon.start();
  expect(partials(daemon)).toEqual([]);
});

test('nor where the restore was forced and its own file has gone: nothing of that name was there then', async () => {
  const { daemon, backup } = await world();
  const target = join(daemon.folder, 'new.out');
  const { job_id } = await daemon.call('backup.restore', { backup, target, rate, force: true });
  await untilByte(daemon, job_id, 0.3 * size);
  await daemon.kill();
  for (const name of partials(daemon)) rmSync(join(daemon.folder, name));
  writeFileSync(target, noise(size + MiB, 5));
  await daemon.start();
  await daemon.failed(Promise.resolve({ job_id }), 'TARGET_EXISTS');
  expect(firstDifference(readFileSync(target), noise(size + MiB, 5))).toBe(-1);
});

test('killed or stopped at any moments, restores end exact, to a new file and over an old one', async () => {
  const seed = Number(process.env['BASALT_RESUME_SEED'] ?? Date.now() % 2 ** 31);
  process.stdout.write(`resume-restore: seed ${seed}\n`);
  const { daemon, bytes, backup } = await world();
  const path = await dirtyTarget(daemon);
  const fresh = join(daemon.folder, 'new.out');
  const moment = fc.record({ afterMs: fc.nat(1300), how: fc.constantFrom('kill', 'stop') });
  const [moments = []] = fc.sample(fc.array(moment, { minLength: 4, maxLength: 4 }), { seed, numRuns: 1 });
  const started = [
    await daemon.call('backup.restore', { backup, target: fresh, rate }),
    await daemon.call('backup.restore', { backup, target: 'target', force: true, rate }),
  ];
  for (const { afterMs, how } of moments) {
    await wait(afterMs);
    await (how === 'kill' ? daemon.kill() : daemon.stop());
    await daemon.start();
  }
  for (const { job_id } of started) {
    const job = await daemon.ended(job_id);
    // Kills before the first checkpoint count as crashes at one place.
    if (job.fault?.code === 'JOB_CRASHED') continue;
    expect(job).toMatchObject({ status: 'done', fault: null });
    const written = job.result?.['target'] === `file://${fresh}` ? fresh : path;
    expect(firstDifference(readFileSync(written).subarray(0, size), bytes)).toBe(-1);
  }
  await eventually('nothing is left', () => partials(daemon).length === 0);
  expect(existsSync(path)).toBe(true);
  await expectAtRest(daemon);
});
