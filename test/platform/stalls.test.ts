/** Devices and repositories that stop answering for a while: whoever waits for them says so truthfully and can be cancelled, nobody
 *  else notices, memory stays within its bounds, and all goes on when they answer again. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Daemon, eventually } from '../support/daemon.ts';
import { freeze, loopOver, mountAt, mountedExt4, run, sparseFile } from '../support/devices.ts';
import { addNoise, daemonForTest, expectRestores, MiB } from '../support/fault-world.ts';
import { expectAtRest, untilByte } from '../support/resume-world.ts';
import { slowSource } from '../support/slow-source.ts';
import { firstDifference, noise } from '../support/volume-model.ts';

const memoryLimit = '64MiB';
const residentMax = (64 + 96) * MiB;

async function within<T>(limitMs: number, work: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  const value = await work();
  expect(performance.now() - begun).toBeLessThan(limitMs);
  return value;
}

/** The daemon with a second repository, `other`. */
async function daemonWithTwo(repository?: string): Promise<Daemon> {
  const daemon = await daemonForTest({ memoryLimit, ...(repository === undefined ? {} : { repository }) });
  await daemon.call('repository.add', { name: 'other', url: join(daemon.folder, 'other') });
  await daemon.call('repository.init', { name: 'other' });
  return daemon;
}

/** A backup of `volume` to `repository` and its restore go through as if nothing were the matter. */
async function expectGoesOn(daemon: Daemon, repository: string, volume: string, bytes: Buffer) {
  await within(20_000, async () => {
    const { job_id, backup } = await daemon.call('backup.create', { volume, repository });
    await daemon.done({ job_id });
    await expectRestores(daemon, backup.id, bytes);
  });
}

/** What hangs says so: its bytes stand still, at no rate, and nobody knows how long it will take. */
async function expectStandsStill(daemon: Daemon, job: string): Promise<void> {
  const before = await daemon.call('job.show', { job });
  const still = await eventually('the rate falls to nothing', async () => {
    const now = await within(1000, () => daemon.call('job.show', { job }));
    return now.bytes_per_second === 0 ? now : undefined;
  });
  expect(still).toMatchObject({ status: 'running', bytes_done: before.bytes_done, seconds_left: null });
  // All may have been taken: that it is not stored yet is told.
  expect(still.bytes_done < still.bytes_total || still.phase === 'storing').toBe(true);
  await within(1000, () => daemon.call('status', {}));
}

async function expectCancels(daemon: Daemon, job: string): Promise<void> {
  const ended = await within(1000, () => daemon.call('job.cancel', { job }));
  expect(ended).toMatchObject({ status: 'cancelled' });
}

async function expectWithinMemory(daemon: Daemon): Promise<void> {
  await eventually('all memory comes back', async () =>
    (await daemon.call('status', {})).memory.leases.every(({ owner }) => !/^(backup|restore) /.test(owner)),
  );
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'));
  expect(Number(peak?.[1]) * 1024).toBeLessThan(residentMax);
}

test('a source that does not answer holds up no other backup of the repository', async () => {
  const bytes = noise(32 * MiB, 1);
  const source = await slowSource(bytes);
  const daemon = await daemonWithTwo();
  await daemon.addVolume('far', source.path);
  const near = await addNoise(daemon, 'near', 8 * MiB, 2);
  const first = await daemon.call('backup.create', { volume: 'far', rate: 12 * MiB });
  await untilByte(daemon, first.job_id, 4 * MiB);
  source.hang();
  await wait(500);
  await expectGoesOn(daemon, 'default', 'near', near);
  await expectGoesOn(daemon, 'other', 'near', near);
  await expectStandsStill(daemon, first.job_id);
  source.answer();
  await daemon.done(first);
  await expectRestores(daemon, first.backup.id, bytes);

  const second = await daemon.call('backup.create', { volume: 'far', rate: 12 * MiB });
  await untilByte(daemon, second.job_id, 4 * MiB);
  source.hang();
  await wait(500);
  await expectCancels(daemon, second.job_id);
  await expectGoesOn(daemon, 'default', 'near', near);
  source.answer();
  await expectWithinMemory(daemon);
  await expectAtRest(daemon);
});

test('a source of less than a megabyte a second is read at its pace, beside others, and can be cancelled', async () => {
  // A segment every second and a half; and what was asked for comes in the end, also after a cancellation.
  const source = await slowSource(noise(32 * MiB, 3), 350);
  const daemon = await daemonForTest({ memoryLimit });
  await daemon.addVolume('slow', source.path);
  const near = await addNoise(daemon, 'near', 8 * MiB, 4);
  const { job_id } = await daemon.call('backup.create', { volume: 'slow' });
  await expectGoesOn(daemon, 'default', 'near', near);
  const moving = await eventually('a rate is known', async () => {
    const now = await daemon.call('job.show', { job: job_id });
    return now.bytes_per_second > 0 ? now : undefined;
  });
  expect(moving.seconds_left).toBeGreaterThan(0);
  await expectCancels(daemon, job_id);
  await expectWithinMemory(daemon);
  await expectAtRest(daemon);
});

test('a target that does not answer holds up nobody else, and the restore goes on when it answers', async () => {
  const { folder } = mountedExt4(96 * MiB);
  const daemon = await daemonWithTwo();
  const bytes = await addNoise(daemon, 'v', 32 * MiB, 5);
  const { id: backup } = await daemon.backUp('v');
  const near = await addNoise(daemon, 'near', 8 * MiB, 6);
  const target = join(folder, 'target.img');
  writeFileSync(target, noise(32 * MiB, 7));
  const { job_id } = await daemon.call('backup.restore', { backup, target, force: true, rate: 12 * MiB });
  await untilByte(daemon, job_id, 4 * MiB);
  const thaw = freeze(folder);
  await wait(500);
  await expectGoesOn(daemon, 'default', 'near', near);
  await expectStandsStill(daemon, job_id);
  thaw();
  await daemon.done({ job_id });
  expect(firstDifference(readFileSync(target), bytes)).toBe(-1);
  await expectWithinMemory(daemon);
  await expectAtRest(daemon);
});

/** A file system that takes what is written into its cache, and can be made to bring none of it to its disk. */
function stallingDisk(): { readonly folder: string; readonly stall: () => () => void } {
  const outer = mountedExt4(320 * MiB);
  const image = sparseFile(256 * MiB, outer.folder, 'inner.img');
  run('mkfs.ext4', '-q', '-F', image);
  const folder = mountAt(loopOver(image));
  return { folder, stall: () => freeze(outer.folder) };
}

function frozenDisk(): { readonly folder: string; readonly stall: () => () => void } {
  const { folder } = mountedExt4(256 * MiB);
  return { folder, stall: () => freeze(folder) };
}

test.each([
  ['that takes nothing any more', frozenDisk],
  ['that takes all into its cache and then stalls', stallingDisk],
])('a repository %s holds up no other one, nor who cancels', async (_what, makeDisk) => {
  const { folder, stall } = makeDisk();
  const repository = join(folder, 'repository');
  mkdirSync(repository);
  const daemon = await daemonWithTwo(repository);
  const bytes = await addNoise(daemon, 'a', 32 * MiB, 8);
  await addNoise(daemon, 'b', 32 * MiB, 9);
  const near = await addNoise(daemon, 'near', 8 * MiB, 10);
  const a = await daemon.call('backup.create', { volume: 'a', rate: 12 * MiB });
  const b = await daemon.call('backup.create', { volume: 'b', rate: 12 * MiB });
  await untilByte(daemon, a.job_id, 2 * MiB);
  await untilByte(daemon, b.job_id, 2 * MiB);
  const thaw = stall();
  await expectGoesOn(daemon, 'other', 'near', near);
  await eventually('the backup comes to a halt', async () => {
    const before = await daemon.call('job.show', { job: a.job_id });
    await wait(500);
    return (await daemon.call('job.show', { job: a.job_id })).bytes_done === before.bytes_done;
  });
  await expectStandsStill(daemon, a.job_id);
  await expectCancels(daemon, b.job_id);
  await expectGoesOn(daemon, 'other', 'near', near);
  thaw();
  await daemon.done(a);
  await expectRestores(daemon, a.backup.id, bytes);
  expect(await daemon.call('backup.show', { backup: b.backup.id })).toMatchObject({ status: 'error' });
  await expectWithinMemory(daemon);
  await expectAtRest(daemon);
});
