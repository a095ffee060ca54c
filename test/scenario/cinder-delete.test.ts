/** What Cinder reserves to administrators, or can't do at all: force, cancel, and what is left of a deletion that failed. */

import { chmodSync, renameSync } from 'node:fs';
import { expect, test } from 'vitest';
import { clientMain, startClient } from '../support/client.ts';
import { codeOfCall, type Daemon } from '../support/daemon.ts';
import { addNoise, daemonForTest, expectRestores, MiB, underWay } from '../support/fault-world.ts';

test('delete: --force on a backup that is being made cancels it at once, and nothing of it is left', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 64 * MiB, 1);
  const { backup, job_id } = await daemon.call('backup.create', { volume: 'v', rate: 8 * MiB });
  await underWay(daemon, job_id);
  expect(await codeOfCall(daemon.call('backup.delete', { backup: backup.id }))).toBe('BACKUP_BUSY');
  const began = performance.now();
  const deletion = await daemon.call('backup.delete', { backup: backup.id, force: true });
  await daemon.done(deletion);
  expect(performance.now() - began).toBeLessThan(2000);
  expect((await daemon.call('job.show', { job: job_id })).status).toBe('cancelled');
  expect(await codeOfCall(daemon.call('backup.show', { backup: backup.id }))).toBe('BACKUP_UNKNOWN');
  expect((await daemon.call('repository.stats', {})).backups).toBe(0);
  expect(await daemon.call('volume.show', { volume: 'v' })).toMatchObject({ status: 'available' });
  await expectRestores(daemon, (await daemon.backUp('v')).id, bytes);
});

test('delete: one that failed half-way is in error_deleting, and may be deleted again without force', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  const away = `${daemon.repositoryDir}.away`;
  renameSync(daemon.repositoryDir, away);
  await daemon.failed(daemon.call('backup.delete', { backup }), 'REPOSITORY_MISSING');
  const left = await daemon.call('backup.show', { backup });
  expect(left).toMatchObject({ status: 'error_deleting', fail_reason: expect.stringContaining('Cannot') });
  expect(await codeOfCall(daemon.call('backup.restore', { backup }))).toBe('BACKUP_UNKNOWN');
  renameSync(away, daemon.repositoryDir);
  await daemon.done(daemon.call('backup.delete', { backup }));
  expect(await codeOfCall(daemon.call('backup.show', { backup }))).toBe('BACKUP_UNKNOWN');
});

/** Runs basaltctl as a user who has a grant for project "web" and for nothing else. */
function asUser(daemon: Daemon, ...words: string[]) {
  const user = ['--reuid=54322', '--regid=54322', '--clear-groups'];
  const program = ['/usr/bin/setpriv', ...user, process.execPath, clientMain];
  return startClient(words, { env: { BASALT_SOCKET: daemon.socketPath }, program }).ended;
}

test('cancel: who acts for a project cancels its backups and deletes them, and sees none of another project', async () => {
  const daemon = await daemonForTest({ settings: 'project_grants = ["uid:54322=web"]\n' });
  for (const folder of [daemon.folder, daemon.stateDir]) chmodSync(folder, 0o755);
  chmodSync(daemon.socketPath, 0o666);
  await addNoise(daemon, 'hidden', MiB, 1);
  const hidden = await daemon.backUp('hidden');
  await addNoise(daemon, 'v', 32 * MiB, 2);
  const { source } = await daemon.call('volume.show', { volume: 'v' });
  await daemon.call('volume.add', { name: 'mine', source, project: 'web' });
  const started = await asUser(
    daemon,
    '--project',
    'web',
    'backup',
    'create',
    'mine',
    '--rate',
    '4MiB',
    '-f',
    'json',
  );
  expect(started.stderr).toBe('');
  const { id, job_id: job } = JSON.parse(started.stdout) as { id: string; job_id: string };
  const began = performance.now();
  expect((await asUser(daemon, '--project', 'web', 'job', 'cancel', job)).status).toBe(0);
  expect(performance.now() - began).toBeLessThan(3000);
  expect((await asUser(daemon, '--project', 'web', 'backup', 'delete', id)).status).toBe(0);
  const theirs = await asUser(daemon, '--project', 'web', 'backup', 'delete', '--force', hidden.id);
  expect(theirs).toMatchObject({ status: 66, stderr: expect.stringContaining('Cannot find backup') });
  expect((await asUser(daemon, 'backup', 'show', hidden.id)).status).toBe(77);
  expect(await daemon.call('backup.show', { backup: hidden.id })).toMatchObject({ status: 'available' });
});
