/** Creating backups by Cinder's rules: the record, the parent, the statuses of the source. */

import { closeSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { expect, test } from 'vitest';
import type { BackupValue } from '../../daemon/protocol/values.ts';
import { codeOfCall, type Daemon } from '../support/daemon.ts';
import { holdOpen } from '../support/devices.ts';
import { addNoise, daemonForTest, MiB, sourceOf, underWay } from '../support/fault-world.ts';
import { noise } from '../support/volume-model.ts';

const show = (daemon: Daemon, backup: string) => daemon.call('backup.show', { backup });

async function jsonOf(daemon: Daemon, ...words: string[]): Promise<BackupValue> {
  const { status, stdout, stderr } = await daemon.basaltctl(...words, '-f', 'json');
  if (status !== 0) throw new Error(`basaltctl ${words.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as BackupValue;
}

/** A backup that fails, as what it reads becomes shorter while it is made. */
async function failBackup(daemon: Daemon, volume: string): Promise<string> {
  const { backup, job_id } = await daemon.call('backup.create', { volume, rate: MiB });
  await underWay(daemon, job_id);
  writeFileSync(sourceOf(daemon, volume), 'short');
  await daemon.ended(job_id);
  return backup.id;
}

test('create: the record has every field of Cinder under its name', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 3 * MiB + 17, 1);
  const words = ['--name', 'one', '--description', 'the first', '--property', 'reason=test'];
  const options = ['--container', 'vault/a', '--availability-zone', 'north', '--no-incremental', '--wait'];
  const made = await jsonOf(daemon, 'backup', 'create', 'v', ...words, ...options);
  const { id: volume_id } = await daemon.call('volume.show', { volume: 'v' });
  const shown = await jsonOf(daemon, 'backup', 'show', 'one');
  expect(shown).toEqual(made);
  expect(shown).toMatchObject({
    name: 'one',
    description: 'the first',
    user_id: '0',
    project_id: 'default',
    volume_id,
    host: hostname(),
    availability_zone: 'north',
    container: 'vault/a',
    parent_id: null,
    status: 'available',
    fail_reason: '',
    service: 'basalt.repository.native.NativeRepository',
    service_metadata: `manifests/${shown.id}.json`,
    size: 1,
    size_bytes: 3 * MiB + 17,
    object_count: 49,
    temp_volume_id: null,
    temp_snapshot_id: null,
    num_dependent_backups: 0,
    has_dependent_backups: false,
    snapshot_id: null,
    restore_volume_id: null,
    encryption_key_id: null,
    is_incremental: false,
    metadata: { reason: 'test' },
    consistency: 'clean',
    consistency_evidence: { read_from: 'source', used_by: [], hooks: [] },
  });
  for (const time of [shown.data_timestamp, shown.created_at, shown.updated_at])
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  await daemon.done(daemon.call('catalog.rebuild', {}));
  expect({ ...(await show(daemon, 'one')), updated_at: '' }).toEqual({ ...shown, updated_at: '' });
});

test('create: a container that leads out of its place is refused', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 1000, 1);
  for (const container of ['../x', '/etc', 'a/../../b', 'a//b', '.', 'a\nb', 'x'.repeat(256)]) {
    expect(await codeOfCall(daemon.call('backup.create', { volume: 'v', container }))).toBe(
      'INVALID_ARGUMENT',
    );
  }
  expect((await daemon.call('backup.list', {})).backups).toEqual([]);
});

test('create: incremental needs an earlier available backup of the volume in the same project', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', MiB, 1);
  await addNoise(daemon, 'w', MiB, 2);
  const incremental = (more: { volume?: string; project?: string } = {}) =>
    daemon.call('backup.create', { volume: 'v', incremental: true, ...more });
  expect(await daemon.basaltctl('backup', 'create', 'v', '--incremental')).toMatchObject({ status: 64 });
  await daemon.backUp('w');
  expect(await codeOfCall(incremental())).toBe('NO_PARENT');
  const full = await daemon.backUp('v');
  expect(full).toMatchObject({ is_incremental: false, parent_id: null });
  const first = await daemon.backUp('v', true);
  expect(first).toMatchObject({ is_incremental: true, parent_id: full.id, size: 1 });
  expect(await daemon.backUp('v', true)).toMatchObject({ parent_id: first.id });
  // An administrator backs up a volume of another project: the backups of that project are not his parents.
  const { id: volume } = await daemon.call('volume.show', { volume: 'v' });
  expect(await codeOfCall(incremental({ volume, project: 'other' }))).toBe('NO_PARENT');
});

test('create: an error backup never blocks an incremental one, nor becomes its parent', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 8 * MiB, 1);
  const full = await daemon.backUp('v');
  const failed = await failBackup(daemon, 'v');
  expect(await show(daemon, failed)).toMatchObject({ status: 'error', service_metadata: null });
  writeFileSync(sourceOf(daemon, 'v'), bytes);
  expect(await daemon.backUp('v', true)).toMatchObject({ parent_id: full.id });
});

test('create: the volume is backing-up, and previous_status tells afterwards how it ended', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 8 * MiB, 1);
  const volume = () => daemon.call('volume.show', { volume: 'v' });
  const { job_id } = await daemon.call('backup.create', { volume: 'v', rate: 4 * MiB });
  expect(await volume()).toMatchObject({ status: 'backing-up', previous_status: 'available' });
  expect(await codeOfCall(daemon.call('backup.create', { volume: 'v' }))).toBe('VOLUME_BUSY');
  await daemon.done({ job_id });
  expect(await volume()).toMatchObject({ status: 'available', previous_status: 'backing-up' });
  const failed = await failBackup(daemon, 'v');
  expect(await volume()).toMatchObject({ status: 'available', previous_status: 'error_backing-up' });
  const { fail_reason } = await show(daemon, failed);
  expect(fail_reason).not.toBe('');
  expect(fail_reason.length).toBeLessThanOrEqual(255);
});

test('create: a source in use is refused, and --force reads it as it is where no snapshot can be made', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', MiB, 1);
  await holdOpen(sourceOf(daemon, 'v'), '<>');
  const refused = await daemon.basaltctl('backup', 'create', 'v');
  expect(refused.status).toBe(75);
  expect(refused.stderr).toMatch(/open for writing by process \d+ "sh"[\s\S]*--force/);
  const forced = await jsonOf(daemon, 'backup', 'create', 'v', '--force', '--wait');
  expect(forced.consistency).toMatch(
    /^crash-consistent: read while it was in use: open for writing by process/,
  );
  expect(forced.consistency_evidence).toMatchObject({
    read_from: 'source',
    used_by: [expect.stringMatching(/^open for writing/)],
    hooks: [],
  });
  expect(readdirSync(daemon.folder).filter((name) => name.includes('snapshot'))).toEqual([]);
});

test('create: a backup of a volume in error_restoring needs --force', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 8 * MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  const { job_id } = await daemon.call('backup.restore', { backup, target: 'v', force: true, rate: MiB });
  await underWay(daemon, job_id);
  await daemon.call('job.cancel', { job: job_id });
  expect((await daemon.call('volume.show', { volume: 'v' })).status).toMatch(/^error/);
  expect(await codeOfCall(daemon.call('backup.create', { volume: 'v' }))).toBe('VOLUME_BUSY');
  await daemon.done(daemon.call('backup.create', { volume: 'v', force: true }));
  expect((await daemon.basaltctl('volume', 'set', 'v', '--state', 'available')).status).toBe(0);
  await daemon.done(daemon.call('backup.create', { volume: 'v' }));
});

test('create: a registered snapshot is backed up in place of its volume, with its own time', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', MiB, 1);
  const full = await daemon.backUp('v');
  const copy = sourceOf(daemon, 'copy');
  writeFileSync(copy, noise(MiB, 2));
  const taken = '2001-02-03T04:05:06Z';
  const snapshot = await jsonOf(daemon, 'snapshot', 'add', 'v', 'old', copy, '--created-at', taken);
  expect(snapshot).toMatchObject({ status: 'available', made_by: 'operator', size_bytes: MiB });
  // The only backup is of later data: there is no parent for what was there before.
  const create = (more: object) => daemon.call('backup.create', { volume: 'v', snapshot: 'old', ...more });
  expect(await codeOfCall(create({ incremental: true }))).toBe('NO_PARENT');
  const { backup, job_id } = await create({ rate: MiB });
  expect(await daemon.call('volume.show', { volume: 'v' })).toMatchObject({ status: 'available' });
  expect(await daemon.call('snapshot.show', { snapshot: 'old' })).toMatchObject({ status: 'backing-up' });
  expect(await codeOfCall(create({}))).toBe('SNAPSHOT_BUSY');
  expect(await codeOfCall(daemon.call('snapshot.remove', { snapshot: 'old' }))).toBe('SNAPSHOT_BUSY');
  await daemon.done({ job_id });
  expect(await daemon.call('snapshot.show', { snapshot: 'old' })).toMatchObject({ status: 'available' });
  expect(await show(daemon, backup.id)).toMatchObject({
    snapshot_id: snapshot.id,
    data_timestamp: '2001-02-03T04:05:06.000Z',
    consistency: 'as snapshot "old" is, which was registered',
  });
  // The volume goes on from what was backed up of itself.
  expect(await daemon.backUp('v', true)).toMatchObject({ parent_id: full.id });
  expect(await create({ incremental: false }).then(({ backup: { parent_id } }) => parent_id)).toBeNull();
  expect(bytes.length).toBe(MiB);
});

test('create: a snapshot of another volume, or one that is not there, is refused', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 1000, 1);
  await addNoise(daemon, 'w', 1000, 2);
  const copy = sourceOf(daemon, 'copy');
  writeFileSync(copy, 'x');
  await daemon.call('snapshot.add', { volume: 'v', name: 's', source: copy });
  const create = (volume: string, snapshot: string) => daemon.call('backup.create', { volume, snapshot });
  expect(await codeOfCall(create('w', 's'))).toBe('SNAPSHOT_UNKNOWN');
  expect(await codeOfCall(create('v', 't'))).toBe('SNAPSHOT_UNKNOWN');
  const add = (name: string, more: object) =>
    daemon.call('snapshot.add', { volume: 'v', name, source: copy, ...more });
  expect(await codeOfCall(add('s', {}))).toBe('ALREADY_EXISTS');
  expect(await codeOfCall(add('u', { source: sourceOf(daemon, 'v') }))).toBe('INVALID_ARGUMENT');
  expect(await codeOfCall(add('u', { created_at: '2999-01-01T00:00:00Z' }))).toBe('INVALID_ARGUMENT');
  expect(await codeOfCall(daemon.call('volume.remove', { volume: 'v' }))).toBe('VOLUME_BUSY');
  // What Basalt did not make it does not remove.
  await daemon.call('snapshot.remove', { snapshot: 's' });
  closeSync(openSync(copy, 'r'));
  await daemon.call('volume.remove', { volume: 'v' });
});
