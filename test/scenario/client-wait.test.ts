/** The built client while it waits for a job: progress, failures, Ctrl-C, a daemon that goes away. */

import { expect, test } from 'vitest';
import { clientMain, clientOnFakeDaemon, runClient, startClient } from '../support/client.ts';
import { type Answer, aBackup, aFault, aJob, jobId } from '../support/fake-daemon.ts';

const { aFolder, basaltctl, env, fake, paramsOf } = clientOnFakeDaemon();

const startJob: Answer = (reply) => reply.result({ job_id: jobId });
const endsAs =
  (more: Parameters<typeof aJob>[0] = {}): Answer =>
  (reply) =>
    reply.result(aJob({ status: 'done', ...more }));

test('backup create --wait prints the finished record', async () => {
  await fake({
    'backup.create': (reply) => reply.result({ backup: aBackup({ status: 'creating' }), job_id: jobId }),
    'job.watch': endsAs(),
    'backup.show': (reply) => reply.result(aBackup()),
  });
  const { status, stdout } = await basaltctl('backup', 'create', 'web', '--wait', '-f', 'json');
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toEqual(aBackup());
});

test('progress off a terminal is one plain line a phase, on stderr', async () => {
  await fake({
    'backup.restore': (reply) => reply.result({ job_id: jobId, backup_id: 'b', target: 'file:///t' }),
    'job.watch': (reply) => {
      reply.event(aJob({ phase: 'queued', waiting_for: 'memory' }));
      for (let done = 0; done <= 100; done += 1) {
        const [bytes_done, bytes_total] = [done * 2 ** 20, 100 * 2 ** 20];
        reply.event(
          aJob({ phase: 'copying', bytes_done, bytes_total, bytes_per_second: 2 ** 20, seconds_left: 9 }),
        );
      }
      reply.event(aJob({ phase: 'syncing' }));
      reply.result(aJob({ status: 'done', result: { target: 'file:///t', restored_bytes: 5 } }));
    },
  });
  const { stdout, stderr } = await basaltctl('backup', 'restore', 'nightly', '--wait', '-f', 'json');
  expect(JSON.parse(stdout)).toEqual({ target: 'file:///t', restored_bytes: 5 });
  expect(stderr).toBe(
    'queued, waiting for memory\ncopying: 0 % of 100.0 MiB, 1.0 MiB/s, 9 s left\nsyncing\n',
  );
});

test('on a terminal the progress is a bar that is gone afterwards', async () => {
  await fake({
    'backup.verify': startJob,
    'job.watch': (reply) => {
      reply.event(
        aJob({ phase: 'reading', bytes_done: 2 ** 20, bytes_total: 2 ** 21, bytes_per_second: 2 ** 20 }),
      );
      reply.result(aJob({ status: 'done', result: { verified_bytes: 1, damaged: [] } }));
    },
  });
  const words = ['-qec', `"${process.execPath}" "${clientMain}" backup verify nightly -f value`, '/dev/null'];
  const { status, stdout } = await runClient(words, {
    program: ['script'],
    env: env(),
  });
  expect(status).toBe(0);
  expect(stdout).toMatch(/reading {2}\[={15} {15}\] {2}50 % of 2\.0 MiB {2}1\.0 MiB\/s/);
  expect(stdout).toContain('\u001b[?25h');
});

test('a job that fails ends with the exit status of its fault and prints no result', async () => {
  await fake({
    'backup.create': (reply) => reply.result({ backup: aBackup(), job_id: jobId }),
    'job.watch': endsAs({ status: 'failed', fault: aFault('STORAGE_FULL') }),
  });
  const { status, stdout, stderr } = await basaltctl('backup', 'create', 'web', '--wait');
  expect([status, stdout]).toEqual([75, '']);
  expect(stderr).toBe('Cannot do "STORAGE_FULL"\nHint of STORAGE_FULL\n');
});

test('a job that somebody cancels ends with exit status 75', async () => {
  await fake({ 'job.watch': endsAs({ status: 'cancelled' }) });
  expect((await basaltctl('job', 'watch', jobId)).status).toBe(75);
});

test('a verify that found damage prints the ranges and ends with 65', async () => {
  const result = { verified_bytes: 4096, damaged: [{ offset: 65_536, length: 4096, reason: 'checksum' }] };
  await fake({
    'backup.verify': startJob,
    'job.watch': endsAs({ status: 'failed', fault: aFault('FOUND_DAMAGE'), result }),
  });
  const json = await basaltctl('backup', 'verify', 'nightly', '-f', 'json');
  expect(json.status).toBe(65);
  expect(JSON.parse(json.stdout)).toEqual(result);
  const table = await basaltctl('backup', 'verify', 'nightly');
  expect(table.status).toBe(65);
  expect(table.stdout).toContain('offset=65536, length=4096, reason=checksum');
});

test('what a failed job knows besides goes with its fault: nothing of it is on stdout, whatever the format', async () => {
  const result = {
    paths: ['10.0.0.2:3260: nobody listens there'],
    stderr: 'first line\nsecond\u001b[31m line\n',
    tried: 3,
  };
  const fault = aFault('ATTACH_FAILED', 'Cannot attach "x": 10.0.0.2:3260: nobody listens there');
  await fake({ 'device.attach': startJob, 'job.watch': endsAs({ status: 'failed', fault, result }) });
  const json = await basaltctl('device', 'attach', 'iscsi://x', '--wait', '-f', 'json');
  expect([json.status, json.stdout]).toEqual([74, '']);
  expect(JSON.parse(json.stderr)).toEqual({ error: { ...fault, details: result } });
  for (const format of ['table', 'yaml', 'csv', 'value']) {
    const text = await basaltctl('device', 'attach', 'iscsi://x', '--wait', '-f', format);
    expect([text.status, text.stdout]).toEqual([74, '']);
    // What the sentence says already is not said twice.
    const details = 'stderr: first line\n  second\\x1b[31m line\ntried: 3\n';
    expect(text.stderr).toBe(`${details}${fault.message}\n${fault.hint}\n`);
  }
});

test('device list says what is waited for, what is wrong, and which paths are lost, where something is', async () => {
  const well = { waiting_for: null, fault: null, paths_expected: 2, paths_lost: 0 };
  const device = { id: 'x', url: 'nbd://x/y', status: 'attaching', device: null, ...well };
  await fake({ 'device.list': (reply) => reply.result({ devices: [device] }) });
  expect((await basaltctl('device', 'list')).stdout).not.toMatch(/Waiting|Fault|Paths/);
  const fault = aFault('DEVICE_FAILED', 'Cannot reach "x"');
  const users = [{ kind: 'operator', id: '' }];
  await fake({
    'device.list': (reply) => reply.result({ devices: [{ ...device, fault, users, paths_lost: 1 }] }),
  });
  const { stdout } = await basaltctl('device', 'list');
  expect(stdout).toMatch(/\| Used By +\| Paths Expected \| Paths Lost \| Fault +\|/);
  expect(stdout).toMatch(/\| the operator +\| +2 \| +1 \| DEVICE_FAILED: Cannot reach "x" +\|/);
  const waiting_for = 'the map: 1 of 2 paths';
  await fake({ 'device.list': (reply) => reply.result({ devices: [{ ...device, waiting_for }] }) });
  expect((await basaltctl('device', 'list')).stdout).toContain(waiting_for);
});

test('device attach: a path of the folder where one is, is that file, as it is everywhere', async () => {
  await fake({ 'device.attach': startJob });
  const cwd = aFolder();
  expect((await runClient(['device', 'attach', './disk.img'], { cwd, env: env() })).status).toBe(0);
  expect(paramsOf('device.attach')).toMatchObject({ location: `${cwd}/disk.img` });
});

test('job watch shows the job as job show does, also one that failed', async () => {
  const job = aJob({ status: 'failed', fault: aFault('STORAGE_FULL'), result: { left: 1 } });
  await fake({ 'job.watch': (reply) => reply.result(job) });
  const { status, stdout, stderr } = await basaltctl('job', 'watch', jobId, '-f', 'json');
  expect(status).toBe(75);
  expect(JSON.parse(stdout)).toEqual(job);
  expect(JSON.parse(stderr)).toEqual({ error: { ...job.fault, details: job.result } });
});

test('Ctrl-C detaches: the job is not cancelled, its id is told, the exit status is 130', async () => {
  const running = await fake({
    'backup.create': (reply) => reply.result({ backup: aBackup(), job_id: jobId }),
    'job.watch': (reply) => reply.event(aJob()),
  });

  const { child, ended } = startClient(['backup', 'create', 'web', '--wait'], { env: env() });
  await running.called('job.watch');
  child.kill('SIGINT');
  const { status, stdout, stderr } = await ended;
  expect([status, stdout]).toEqual([130, '']);
  expect(stderr).toContain(`basaltctl job watch ${jobId}`);
  expect(running.calls.map((call) => call.method)).toEqual(['hello', 'backup.create', 'job.watch']);
});

test('who loses the daemon while waiting learns the id of the job', async () => {
  await fake({ 'repository.check': startJob, 'job.watch': (reply) => reply.cutOff() });
  const { status, stderr } = await basaltctl('repository', 'check');
  expect(status).toBe(69);
  expect(stderr).toContain(`basaltctl job watch ${jobId}`);
});

test('unmount waits, and makes the folder absolute', async () => {
  await fake({ unmount: startJob, 'job.watch': endsAs() });
  const cwd = aFolder();
  expect((await runClient(['unmount', 'files'], { cwd, env: env() })).status).toBe(0);
  expect(paramsOf('unmount')).toEqual({ directory: `${cwd}/files` });
});

test('delete of several goes on after a failure and says how many failed', async () => {
  await fake({
    'backup.delete': (reply, { backup }) =>
      backup === 'b' ? reply.fault(aFault('BACKUP_BUSY')) : reply.result({ job_id: jobId }),
    'job.watch': endsAs(),
  });
  const { status, stderr } = await basaltctl('backup', 'delete', 'a', 'b', 'c');
  expect(status).toBe(75);
  expect(stderr).toMatch(
    /Cannot do "BACKUP_BUSY"\n.*\nDeleted backup "c"\n.*1 of 3 backups failed to delete\./,
  );
});

test('delete --no-wait prints the jobs and waits for none', async () => {
  await fake({ 'backup.delete': startJob });
  const { status, stdout } = await basaltctl('backup', 'delete', 'a', 'b', '--no-wait', '-f', 'value');
  expect([status, stdout]).toEqual([0, `a ${jobId}\nb ${jobId}\n`]);
});
