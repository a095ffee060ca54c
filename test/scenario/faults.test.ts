/** What the world does to a backup: full disks, broken sources, repositories that go away. */

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codeOfCall, type Daemon, eventually } from '../support/daemon.ts';
import { loopOver, mountedExt4, run, sparseFile } from '../support/devices.ts';
import {
  addNoise,
  daemonForTest,
  expectFailedBackup,
  expectRestores,
  leftovers,
  MiB,
  outsideFolder,
  sourceOf,
  underWay,
} from '../support/fault-world.ts';
import { noise } from '../support/volume-model.ts';

test('a full repository fails the backup with STORAGE_FULL, keeps what was there, and takes the next one', async () => {
  const { folder } = mountedExt4(64 * MiB);
  const daemon = await daemonForTest({ repository: join(folder, 'repository') });
  const first = await addNoise(daemon, 'first', 5 * MiB + 3, 1);
  const big = await addNoise(daemon, 'big', 24 * MiB, 2);
  const kept = await daemon.backUp('first');
  writeFileSync(join(folder, 'ballast'), noise(30 * MiB, 3));
  const ended = await daemon.basaltctl('backup', 'create', 'big', '--wait');
  expect(ended).toMatchObject({ status: 75, stderr: expect.stringContaining('Cannot') });
  await expectFailedBackup(daemon, 'big', /ENOSPC|no space/i);
  for (const user of readdirSync(join(daemon.repositoryDir, 'tmp')))
    expect(readdirSync(join(daemon.repositoryDir, 'tmp', user))).toEqual([]);
  await expectRestores(daemon, kept.id, first);
  rmSync(join(folder, 'ballast'));
  const next = await daemon.backUp('big');
  await expectRestores(daemon, next.id, big);
  await daemon.done(daemon.call('repository.check', { read_data: true }));
});

test('a target that gets full fails with TARGET_FULL, and a new file goes away again', async () => {
  const { folder } = mountedExt4(16 * MiB);
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 24 * MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  const fresh = join(folder, 'fresh.out');
  await daemon.failed(daemon.call('backup.restore', { backup, target: fresh }), 'TARGET_FULL');
  expect(leftovers(folder)).toEqual([]);
  const ended = await daemon.basaltctl('backup', 'restore', backup, fresh, '--wait');
  expect(ended.status).toBe(74);
  const target = sparseFile(24 * MiB, folder, 'existing.img');
  await daemon.failed(daemon.call('backup.restore', { backup, target, force: true }), 'TARGET_FULL');
  rmSync(target);
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
  await expectRestores(daemon, backup, bytes);
});

test('a source that can not be read in the middle fails with SOURCE_READ_FAILED, and can be backed up when it is whole', async () => {
  const image = join(outsideFolder(), 'disk.img');
  writeFileSync(image, noise(8 * MiB, 1));
  const device = loopOver(image);
  const daemon = await daemonForTest();
  await daemon.addVolume('v', device);
  truncateSync(image, 4 * MiB);
  const started = await daemon.call('backup.create', { volume: 'v' });
  await daemon.failed(Promise.resolve(started), 'SOURCE_READ_FAILED');
  await expectFailedBackup(daemon, 'v', /input\/output error/);
  expect((await daemon.basaltctl('backup', 'create', 'v', '--wait')).status).toBe(74);
  writeFileSync(image, noise(8 * MiB, 1));
  await expectRestores(daemon, (await daemon.backUp('v')).id, noise(8 * MiB, 1));
});

test('a source that shrinks while it is read fails with SOURCE_CHANGED', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 192 * MiB, 1);
  const started = await daemon.call('backup.create', { volume: 'v' });
  await underWay(daemon, started.job_id);
  truncateSync(sourceOf(daemon, 'v'), MiB);
  await daemon.failed(Promise.resolve(started), 'SOURCE_CHANGED');
  await expectFailedBackup(daemon, 'v', /shorter|has \d+ now/);
  await expectRestores(daemon, (await daemon.backUp('v')).id, noise(MiB, 1));
});

/** What was refused at once has left no record, and the volume as it was. */
async function expectNoTrace(daemon: Daemon): Promise<void> {
  const { backups } = await daemon.call('backup.list', {});
  expect(backups.filter(({ status }) => status === 'error' || status === 'creating')).toEqual([]);
  expect(await daemon.call('volume.show', { volume: 'v' })).toMatchObject({ status: 'available' });
}

test('a repository that goes away is missing, whatever is asked of it, and comes back with everything', async () => {
  const parent = outsideFolder();
  const daemon = await daemonForTest({ repository: join(parent, 'repository') });
  const bytes = await addNoise(daemon, 'v', 2 * MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  const { id: doomed } = await daemon.backUp('v');
  renameSync(daemon.repositoryDir, join(parent, 'elsewhere'));
  // An empty folder in its place is what a file system that is not mounted looks like.
  for (const empty of [false, true]) {
    if (empty) mkdirSync(daemon.repositoryDir);
    expect((await daemon.basaltctl('backup', 'create', 'v', '--wait')).status).toBe(66);
    const target = join(daemon.folder, 'new.out');
    expect(await codeOfCall(daemon.call('backup.restore', { backup, target }))).toBe('REPOSITORY_MISSING');
    await daemon.failed(daemon.call('backup.delete', { backup: doomed }), 'REPOSITORY_MISSING');
    await daemon.failed(daemon.call('catalog.rebuild', {}), 'REPOSITORY_MISSING');
    await daemon.failed(daemon.call('repository.check', {}), 'REPOSITORY_MISSING');
    await expectNoTrace(daemon);
  }
  expect(readdirSync(daemon.repositoryDir)).toEqual([]);
  rmSync(daemon.repositoryDir, { recursive: true });
  renameSync(join(parent, 'elsewhere'), daemon.repositoryDir);
  await daemon.done(daemon.call('catalog.rebuild', {}));
  await expectRestores(daemon, backup, bytes);
});

test('a read-only repository refuses to write and to delete, and still restores', async () => {
  const { folder } = mountedExt4(64 * MiB);
  const daemon = await daemonForTest({ repository: join(folder, 'repository') });
  const bytes = await addNoise(daemon, 'v', 2 * MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  run('mount', '-o', 'remount,ro', folder);
  expect((await daemon.basaltctl('backup', 'create', 'v', '--wait')).status).toBe(73);
  await expectNoTrace(daemon);
  await expectRestores(daemon, backup, bytes);
  await daemon.failed(daemon.call('backup.delete', { backup }), 'REPOSITORY_READ_ONLY');
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
  run('mount', '-o', 'remount,rw', folder);
  await daemon.done(daemon.call('backup.delete', { backup, force: true }));
  expect(await codeOfCall(daemon.call('backup.show', { backup }))).toBe('BACKUP_UNKNOWN');
});

test('a locked repository refuses to be written, until the lock has gone', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 2 * MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  const lock = join(daemon.repositoryDir, 'locks', 'exclusive.json');
  mkdirSync(join(lock, '..'), { recursive: true });
  writeFileSync(lock, '{}');
  expect((await daemon.basaltctl('backup', 'create', 'v', '--wait')).status).toBe(75);
  await expectNoTrace(daemon);
  await daemon.failed(daemon.call('backup.delete', { backup }), 'REPOSITORY_LOCKED');
  rmSync(lock);
  await daemon.done(daemon.call('backup.delete', { backup, force: true }));
  await daemon.backUp('v');
});

test('a repository of a newer format is left alone', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 2 * MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  await daemon.stop();
  const path = join(daemon.repositoryDir, 'basalt-repository.json');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('"format":1', '"format":2'));
  await daemon.start();
  expect((await daemon.basaltctl('backup', 'create', 'v', '--wait')).status).toBe(76);
  expect((await daemon.call('status', {})).repository.status).toBe('FORMAT_TOO_NEW');
  expect(await codeOfCall(daemon.call('backup.restore', { backup }))).toBe('FORMAT_TOO_NEW');
  expect(existsSync(join(daemon.stateDir, 'restored'))).toBe(false);
  writeFileSync(path, text);
  await expectRestores(daemon, backup, bytes);
});

test('what a killed daemon left half-done in a repository that was away is put right when it is back', async () => {
  const parent = outsideFolder();
  const daemon = await daemonForTest({ repository: join(parent, 'repository') });
  await addNoise(daemon, 'v', 192 * MiB, 1);
  const started = await daemon.call('backup.create', { volume: 'v' });
  await underWay(daemon, started.job_id);
  await daemon.kill();
  renameSync(daemon.repositoryDir, join(parent, 'elsewhere'));
  await daemon.start();
  await eventually('the job says what it waits for', async () => {
    const { waiting_for } = await daemon.call('job.show', { job: started.job_id });
    return waiting_for === 'repository';
  });
  expect(await daemon.call('volume.show', { volume: 'v' })).toMatchObject({ status: 'backing-up' });
  truncateSync(sourceOf(daemon, 'v'), MiB);
  renameSync(join(parent, 'elsewhere'), daemon.repositoryDir);
  await daemon.done(started);
  expect(await daemon.call('volume.show', { volume: 'v' })).toMatchObject({ status: 'available' });
  expect(await daemon.call('backup.show', { backup: started.backup.id })).toMatchObject({
    status: 'available',
    size_bytes: MiB,
  });
  await expectRestores(daemon, started.backup.id, noise(MiB, 1));
});
