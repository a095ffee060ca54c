/** Quotas of projects: what counts, when it is refused, and that the numbers are right after crashes. */

import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Connection, connect } from '../../client/connection.ts';
import { GiB } from '../../daemon/base/bytes.ts';
import { codeOfCall, type Daemon, eventually } from '../support/daemon.ts';
import { addNoise, daemonForTest, MiB, sourceOf } from '../support/fault-world.ts';
import { noise } from '../support/volume-model.ts';

const project = 'default';
const usage = (daemon: Daemon) => daemon.call('quota.usage', { project });

/** A volume of holes: large by its size, and done at once. */
async function addSparse(daemon: Daemon, name: string, sizeBytes: number): Promise<void> {
  writeFileSync(sourceOf(daemon, name), '');
  truncateSync(sourceOf(daemon, name), sizeBytes);
  await daemon.addVolume(name, sourceOf(daemon, name));
}

test('quota: without limits of its own a project may have any number of backups', async () => {
  const daemon = await daemonForTest();
  expect(await daemon.call('quota.show', {})).toEqual({
    project_id: project,
    backups: -1,
    backup_gigabytes: -1,
  });
  expect(await usage(daemon)).toMatchObject({
    backups: { in_use: 0, reserved: 0, limit: -1 },
    backup_gigabytes: { in_use: 0, reserved: 0, limit: -1 },
    logical_bytes: 0,
    stored_bytes: 0,
  });
});

test('quota: the settings give the defaults, quota set overrides them durably, and "default" gives them back', async () => {
  const daemon = await daemonForTest({ settings: 'quota_backups = 10\nquota_backup_gigabytes = 1000\n' });
  const shown = async (name: string) =>
    JSON.parse((await daemon.basaltctl('quota', 'show', name, '-f', 'json')).stdout) as object;
  expect(await shown('web')).toEqual({ project_id: 'web', backups: 10, backup_gigabytes: 1000 });
  expect(await daemon.basaltctl('quota', 'set', 'web', '--backups', '3')).toMatchObject({ status: 0 });
  expect(await daemon.basaltctl('quota', 'set', 'web', '--backup-gigabytes', '-1')).toMatchObject({
    status: 0,
  });
  await daemon.kill();
  await daemon.start();
  expect(await shown('web')).toEqual({ project_id: 'web', backups: 3, backup_gigabytes: -1 });
  expect(await shown('mail')).toEqual({ project_id: 'mail', backups: 10, backup_gigabytes: 1000 });
  expect(await daemon.basaltctl('quota', 'set', 'web', '--backups', 'default')).toMatchObject({ status: 0 });
  expect(await shown('web')).toEqual({ project_id: 'web', backups: 10, backup_gigabytes: -1 });
  for (const words of [['web'], ['web', '--backups', '-2'], ['web', '--backups', 'many']]) {
    expect(await daemon.basaltctl('quota', 'set', ...words)).toMatchObject({ status: 64 });
  }
});

test('quota: a backup over the quota is refused with status 75 and the numbers, and leaves nothing behind', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 100_000, 1);
  await daemon.call('quota.set', { backups: 1, backup_gigabytes: 1 });
  const { id: backup } = await daemon.backUp('v');
  const refused = await daemon.basaltctl('backup', 'create', 'v');
  expect(refused).toMatchObject({ status: 75, stdout: '' });
  expect(refused.stderr).toContain('backups: limit 1, in use 1, reserved 0, wanted 1');
  expect(refused.stderr).toContain('backup_gigabytes: limit 1, in use 1, reserved 0, wanted 1');
  expect((await daemon.call('backup.list', {})).backups).toHaveLength(1);
  expect(await daemon.call('volume.show', { volume: 'v' })).toMatchObject({ status: 'available' });
  // What it has stays, whatever the limit becomes; a deletion gives back.
  await daemon.call('quota.set', { backups: 0 });
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
  await daemon.done(daemon.call('backup.delete', { backup }));
  await daemon.call('quota.set', { backups: 1 });
  await daemon.backUp('v');
});

test('quota: each backup counts the whole size of its volume, rounded up, also an incremental one', async () => {
  const daemon = await daemonForTest();
  await addSparse(daemon, 'v', 2 * GiB + 1);
  await daemon.backUp('v');
  const { id } = await daemon.backUp('v', true);
  expect(await usage(daemon)).toMatchObject({
    backups: { in_use: 2, reserved: 0 },
    backup_gigabytes: { in_use: 6, reserved: 0 },
    logical_bytes: 2 * (2 * GiB + 1),
  });
  await daemon.call('quota.set', { backup_gigabytes: 8 });
  expect(await codeOfCall(daemon.call('backup.create', { volume: 'v' }))).toBe('OVER_QUOTA');
  await daemon.done(daemon.call('backup.delete', { backup: id }));
  expect(await usage(daemon)).toMatchObject({ backup_gigabytes: { in_use: 3 } });
});

test('quota: physical bytes are what the repository took, and a second backup of the same data takes almost nothing', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 8 * MiB, 1);
  await daemon.backUp('v');
  const first = await usage(daemon);
  expect(first).toMatchObject({ logical_bytes: 8 * MiB, new_bytes: 8 * MiB });
  expect(first.stored_bytes).toBeGreaterThan(8 * MiB - 1);
  await daemon.backUp('v');
  const second = await usage(daemon);
  expect(second).toMatchObject({ logical_bytes: 16 * MiB, new_bytes: 8 * MiB });
  expect(second.stored_bytes).toBeLessThan(first.stored_bytes + MiB);
});

test('quota: a backup that is being made is reserved; one in status error is in use until it is deleted', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 8 * MiB, 1);
  const { backup, job_id: job } = await daemon.call('backup.create', { volume: 'v', rate: MiB });
  expect(await usage(daemon)).toMatchObject({ backups: { in_use: 0, reserved: 1 } });
  await daemon.call('job.cancel', { job });
  expect(await daemon.call('backup.show', { backup: backup.id })).toMatchObject({ status: 'error' });
  expect(await usage(daemon)).toMatchObject({ backups: { in_use: 1, reserved: 0 } });
  await daemon.done(daemon.call('backup.delete', { backup: backup.id, force: true }));
  expect(await usage(daemon)).toMatchObject({ backups: { in_use: 0, reserved: 0 } });
});

test('quota: a lost catalog is made anew with the usage of every project', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 3 * MiB, 1);
  await daemon.backUp('v');
  const before = await usage(daemon);
  await daemon.stop();
  rmSync(`${daemon.stateDir}/catalog.mdb`);
  rmSync(`${daemon.stateDir}/catalog.mdb-lock`, { force: true });
  await daemon.start();
  await daemon.done(daemon.call('catalog.rebuild', {}));
  expect(await usage(daemon)).toEqual(before);
  await daemon.done(daemon.call('catalog.rebuild', {}));
  expect(await usage(daemon)).toEqual(before);
});

test('quota: 50 creates at the same time end exactly at the limit, and a kill in the middle leaks nothing', async () => {
  const daemon = await daemonForTest({ settings: 'max_operations = 4\n' });
  for (let number = 0; number < 50; number += 1) await addNoise(daemon, `v${number}`, 10_000, number);
  await daemon.call('quota.set', { backups: 17 });
  const race = async () => {
    const connections: Connection[] = [];
    for (let number = 0; number < 5; number += 1) connections.push(await connect(daemon.socketPath));
    const codes = await Promise.all(
      Array.from({ length: 50 }, (_, number) => {
        const connection = connections[number % connections.length];
        if (connection === undefined) throw new Error('no connection');
        return codeOfCall(connection.call('backup.create', { volume: `v${number}` }));
      }),
    );
    for (const connection of connections) connection.close();
    return codes;
  };
  const count = (codes: string[], code: string) => codes.filter((one) => one === code).length;
  const codes = await race();
  expect([count(codes, 'it succeeded'), count(codes, 'OVER_QUOTA')]).toEqual([17, 33]);
  await daemon.kill();
  await daemon.start();
  await settled(daemon);
  const { backups } = await daemon.call('backup.list', {});
  expect(backups).toHaveLength(17);
  expect(await usage(daemon)).toMatchObject({ backups: { in_use: 17, reserved: 0, limit: 17 } });
  for (const { id } of backups) await daemon.done(daemon.call('backup.delete', { backup: id, force: true }));
  expect(await usage(daemon)).toMatchObject({ backups: { in_use: 0, reserved: 0 }, stored_bytes: 0 });
  expect(count(await race(), 'it succeeded')).toBe(17);
});

/** Waits until no job is under way. */
const settled = (daemon: Daemon): Promise<unknown> =>
  eventually(
    'every job has ended',
    async () => (await daemon.call('job.list', { active: true })).jobs.length === 0,
  );

test('quota: an administrator backs up a volume of another project, at the cost of his own and out of its sight', async () => {
  const daemon = await daemonForTest();
  const bytes = noise(MiB, 5);
  writeFileSync(sourceOf(daemon, 'theirs'), bytes);
  await daemon.call('volume.add', { name: 'theirs', source: sourceOf(daemon, 'theirs'), project: 'web' });
  await daemon.call('quota.set', { project: 'vault', backups: 1 });
  await daemon.call('quota.set', { project: 'web', backups: 0 });
  const made = await daemon.basaltctl(
    '--project',
    'vault',
    'backup',
    'create',
    'theirs',
    '--wait',
    '-f',
    'json',
  );
  expect(made).toMatchObject({ status: 0 });
  const { id } = JSON.parse(made.stdout) as { id: string };
  expect(await daemon.call('backup.show', { backup: id, project: 'vault' })).toMatchObject({
    project_id: 'vault',
  });
  expect(await codeOfCall(daemon.call('backup.show', { backup: id, project: 'web' }))).toBe('BACKUP_UNKNOWN');
  expect((await daemon.call('backup.list', { project: 'web' })).backups).toEqual([]);
  const usages = async (name: string) => (await daemon.call('quota.usage', { project: name })).backups.in_use;
  expect([await usages('vault'), await usages('web')]).toEqual([1, 0]);
  expect(await codeOfCall(daemon.call('backup.create', { volume: 'theirs', project: 'vault' }))).toBe(
    'OVER_QUOTA',
  );
  // The parent of an incremental backup is looked for in the project that the backup is for.
  await daemon.call('quota.set', { project: 'web', backups: 1 });
  const incremental = { volume: 'theirs', incremental: true };
  expect(await codeOfCall(daemon.call('backup.create', { ...incremental, project: 'web' }))).toBe(
    'NO_PARENT',
  );
  await daemon.call('quota.set', { project: 'vault', backups: 2 });
  const second = await daemon.call('backup.create', { ...incremental, project: 'vault' });
  expect(await daemon.call('job.watch', { job: second.job_id, project: 'vault' })).toMatchObject({
    status: 'done',
  });
  // Also without the catalog the volume stays with its owner.
  await daemon.stop();
  rmSync(`${daemon.stateDir}/catalog.mdb`);
  await daemon.start();
  await daemon.done(daemon.call('catalog.rebuild', {}));
  expect(await daemon.call('volume.show', { volume: 'theirs', project: 'web' })).toMatchObject({
    project_id: 'web',
  });
  expect(await usages('vault')).toBe(2);
});

test('quota: an imported record counts in the project that imports it, and is refused where it would be too much', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 100_000, 1);
  const { id } = await daemon.backUp('v');
  const record = await daemon.call('backup.record.export', { backup: id });
  await daemon.stop();
  rmSync(`${daemon.stateDir}/catalog.mdb`);
  await daemon.start();
  await daemon.call('quota.set', { project: 'web', backup_gigabytes: 0 });
  const words = ['backup', 'record', 'import', record.backup_service, record.backup_url];
  expect(await daemon.basaltctl('--project', 'web', ...words)).toMatchObject({ status: 75 });
  expect(await daemon.call('quota.usage', { project: 'web' })).toMatchObject({
    backups: { in_use: 0, reserved: 0 },
  });
  await daemon.call('quota.set', { project: 'web', backup_gigabytes: 1 });
  expect(await daemon.basaltctl('--project', 'web', ...words)).toMatchObject({ status: 0 });
  expect(await daemon.call('quota.usage', { project: 'web' })).toMatchObject({
    backups: { in_use: 1 },
    backup_gigabytes: { in_use: 1, limit: 1 },
  });
});
