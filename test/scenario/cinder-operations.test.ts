/** The limit of operations: one number over backups and restores of all projects, whose lines take turns. */

import { expect, test } from 'vitest';
import type { JobValue } from '../../daemon/protocol/values.ts';
import { type Daemon, eventually } from '../support/daemon.ts';
import { addNoise, daemonForTest, MiB, sourceOf } from '../support/fault-world.ts';

/** Begins a backup so slow that it holds its place until it is cancelled. */
async function holdPlace(daemon: Daemon, name: string): Promise<string> {
  await addNoise(daemon, name, 8 * MiB, 1);
  const { job_id: job } = await daemon.call('backup.create', { volume: name, rate: 4096 });
  await eventually('it runs', async () => (await daemon.call('job.show', { job })).status === 'running');
  return job;
}

const addIn = (daemon: Daemon, name: string, project: string) =>
  daemon.call('volume.add', { name, source: sourceOf(daemon, 'shared'), project });

const jobsOf = async (daemon: Daemon, project: string): Promise<JobValue[]> =>
  (await daemon.call('job.list', { project, limit: 1000 })).jobs;

test('operations: 200 queued ones of a project hold up a single one of another by one turn, and all are done', async () => {
  const daemon = await daemonForTest({ settings: 'max_operations = 2\n' });
  await addNoise(daemon, 'shared', 20_000, 2);
  await addIn(daemon, 'first', 'many');
  const { backup, job_id: first } = await daemon.call('backup.create', { volume: 'first', project: 'many' });
  await daemon.call('job.watch', { job: first, project: 'many' });
  const held = [await holdPlace(daemon, 'slow1'), await holdPlace(daemon, 'slow2')];
  for (let number = 0; number < 30; number += 1) {
    await addIn(daemon, `v${number}`, 'many');
    await daemon.call('backup.create', { volume: `v${number}`, project: 'many' });
  }
  for (let number = 30; number < 200; number += 1) {
    await daemon.call('backup.verify', { backup: backup.id, project: 'many' });
  }
  await addIn(daemon, 'v', 'few');
  const single = await daemon.call('backup.create', { volume: 'v', project: 'few' });

  const waiting = await daemon.call('job.show', { job: single.job_id, project: 'few' });
  expect(waiting).toMatchObject({
    status: 'queued',
    waiting_for: 'operations: 2 of 2 in use, 1st in line of project few',
  });
  const listed = await daemon.basaltctl(
    '--project',
    'many',
    'job',
    'list',
    '--active',
    '--limit',
    '200',
    '-f',
    'json',
  );
  const reasons = new Set((JSON.parse(listed.stdout) as JobValue[]).map(({ waiting_for }) => waiting_for));
  expect(reasons.size).toBe(200);
  expect(reasons).toContain('operations: 2 of 2 in use, 200th in line of project many');
  expect(await daemon.call('status', {})).toMatchObject({ jobs: { running: 2, queued: 201 } });

  for (const job of held) await daemon.call('job.cancel', { job });
  const done = await daemon.call('job.watch', { job: single.job_id, project: 'few' });
  expect(done).toMatchObject({ status: 'done' });
  const before = (await jobsOf(daemon, 'many')).filter(
    ({ finished_at: at }) => at !== null && at < (done.finished_at ?? ''),
  );
  expect(before.length).toBeLessThan(6);

  let mostRunning = 0;
  await eventually(
    'all are done',
    async () => {
      const { jobs } = await daemon.call('status', {});
      mostRunning = Math.max(mostRunning, jobs.running);
      return jobs.running + jobs.queued === 0;
    },
    60_000,
  );
  expect(mostRunning).toBeGreaterThan(0);
  expect(mostRunning).toBeLessThan(3);
  expect((await jobsOf(daemon, 'many')).filter(({ status }) => status === 'done')).toHaveLength(201);
});

test('operations: backups and restores share the one number, and one that is cancelled in line goes at once', async () => {
  const daemon = await daemonForTest({ settings: 'max_operations = 1\n' });
  await addNoise(daemon, 'v', 100_000, 3);
  const { id: backup } = await daemon.backUp('v');
  const held = await holdPlace(daemon, 'slow');
  const { job_id: job } = await daemon.call('backup.restore', { backup });
  const second = await daemon.call('backup.create', { volume: 'v' });
  const reason = async (id: string) => (await daemon.call('job.show', { job: id })).waiting_for;
  expect(await reason(job)).toBe('operations: 1 of 1 in use, 1st in line of project default');
  expect(await reason(second.job_id)).toBe('operations: 1 of 1 in use, 2nd in line of project default');
  expect(await daemon.call('job.cancel', { job })).toMatchObject({ status: 'cancelled' });
  expect(await reason(second.job_id)).toBe('operations: 1 of 1 in use, 1st in line of project default');
  await daemon.call('job.cancel', { job: held });
  expect(await daemon.ended(second.job_id)).toMatchObject({ status: 'done' });
});

test('operations: one that waits for memory says so', async () => {
  const daemon = await daemonForTest({ settings: 'max_operations = 0\n', memoryLimit: '64MiB' });
  await addNoise(daemon, 'shared', 8 * MiB, 4);
  const jobs: string[] = [];
  for (let number = 0; number < 22; number += 1) {
    await daemon.addVolume(`v${number}`, sourceOf(daemon, 'shared'));
    jobs.push((await daemon.call('backup.create', { volume: `v${number}`, rate: 4096 })).job_id);
  }
  const shown = await Promise.all(jobs.slice(-2).map((job) => daemon.call('job.show', { job })));
  expect(shown.at(-1)?.waiting_for).toMatch(/^memory: \d+ MiB needed, \d+(st|nd|rd|th) in line$/);
});
