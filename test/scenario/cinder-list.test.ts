/** Finding, changing and deleting backups by openstackclient's words. */

import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { BackupValue } from '../../daemon/protocol/values.ts';
import { clientMain, startClient } from '../support/client.ts';
import { codeOfCall, type Daemon } from '../support/daemon.ts';
import { run } from '../support/devices.ts';
import { addNoise, daemonForTest, MiB, sourceOf, underWay } from '../support/fault-world.ts';

async function idsOf(daemon: Daemon, ...words: string[]): Promise<string[]> {
  const { status, stdout, stderr } = await daemon.basaltctl('backup', 'list', '-f', 'json', ...words);
  if (status !== 0) throw new Error(stderr);
  return (JSON.parse(stdout) as BackupValue[]).map(({ id }) => id);
}

/** Backups named a, b, c of volume "v" in this order, and one of volume "w". */
async function four(daemon: Daemon): Promise<[a: string, b: string, c: string, w: string]> {
  await addNoise(daemon, 'v', 1000, 1);
  await addNoise(daemon, 'w', 2000, 2);
  const make = async (volume: string, name: string) => {
    const started = await daemon.call('backup.create', { volume, name });
    await daemon.done(started);
    return started.backup.id;
  };
  return [await make('v', 'a'), await make('v', 'b'), await make('v', 'c'), await make('w', 'a')];
}

const show = (daemon: Daemon, backup: string) => daemon.call('backup.show', { backup });

test('list: filters, sorting, markers and limits give what they name', async () => {
  const daemon = await daemonForTest();
  const [a, b, c, w] = await four(daemon);
  expect(await idsOf(daemon)).toEqual([w, c, b, a]);
  expect(await idsOf(daemon, '--name', 'a')).toEqual([w, a]);
  expect(await idsOf(daemon, '--volume', 'v', '--status', 'available')).toEqual([c, b, a]);
  expect(await idsOf(daemon, '--status', 'error')).toEqual([]);
  expect(await idsOf(daemon, '--sort', 'size_bytes:desc,name:asc')).toEqual([w, a, b, c]);
  expect(await idsOf(daemon, '--sort', 'created_at:asc')).toEqual([a, b, c, w]);
  expect(await idsOf(daemon, '--limit', '2')).toEqual([w, c]);
  expect(await idsOf(daemon, '--limit', '2', '--marker', c)).toEqual([b, a]);
  expect(await idsOf(daemon, '--max-items', '3', '--limit', '2')).toEqual([w, c, b]);
  expect(await idsOf(daemon, '--max-items', '9', '--limit', '1')).toEqual([w, c, b, a]);
  expect(await idsOf(daemon, '--project', 'other')).toEqual([]);
  expect(await idsOf(daemon, '--project', 'other', '--all-projects')).toEqual([w, c, b, a]);
  const { stderr } = await daemon.basaltctl('backup', 'list', '--limit', '1');
  expect(stderr).toContain(`--marker ${w}`);
});

test('list: what is not there is an error and no empty list', async () => {
  const daemon = await daemonForTest();
  await four(daemon);
  const fails = async (...words: string[]) => (await daemon.basaltctl('backup', 'list', ...words)).status;
  expect(await fails('--status', 'avialable')).toBe(64);
  // openstackclient offers it, and no backup is ever in it.
  expect(await idsOf(daemon, '--status', 'error_restoring')).toEqual([]);
  expect(await idsOf(daemon, '--limit', '5000')).toHaveLength(4);
  expect(await fails('--volume', 'x')).toBe(66);
  expect(await fails('--volume', 'v', '--project', 'other')).toBe(66);
  expect(await fails('--marker', 'b')).toBe(64);
  expect(await fails('--marker', '11111111-1111-4111-8111-111111111111')).toBe(66);
  expect(await fails('--sort', 'colour')).toBe(64);
  // A volume that was forgotten still has its backups.
  await daemon.call('volume.remove', { volume: 'w' });
  expect(await idsOf(daemon, '--volume', 'w')).toHaveLength(1);
});

test('list: the columns are those of openstackclient, and --long adds its own', async () => {
  const daemon = await daemonForTest();
  await four(daemon);
  const titles = async (...words: string[]) => {
    const { stdout } = await daemon.basaltctl('backup', 'list', ...words);
    return (stdout.split('\n')[1] ?? '').split('|').map((cell) => cell.trim());
  };
  const short = ['ID', 'Name', 'Description', 'Status', 'Size', 'Incremental', 'Created At'];
  expect((await titles()).filter((title) => title !== '')).toEqual(short);
  expect(await titles('--long')).toEqual(
    expect.arrayContaining([...short, 'Availability Zone', 'Volume', 'Container']),
  );
});

test('set: name, description and properties change, also in what a rebuild from the repository finds', async () => {
  const daemon = await daemonForTest();
  const [a, b] = await four(daemon);
  const words = ['--name', 'renamed', '--description', 'better', '--property', 'x=1', '--property', 'y=2'];
  expect((await daemon.basaltctl('backup', 'set', a, ...words)).status).toBe(0);
  const told = { name: 'renamed', description: 'better', metadata: { x: '1', y: '2' } };
  expect(await show(daemon, 'renamed')).toMatchObject({ id: a, ...told });
  expect((await daemon.basaltctl('backup', 'unset', a, '--property', 'x', '--property', 'z')).status).toBe(0);
  expect((await daemon.basaltctl('backup', 'set', b, '--property', 'old=1')).status).toBe(0);
  expect((await daemon.basaltctl('backup', 'set', b, '--property', 'new=2', '--no-property')).status).toBe(0);
  expect((await show(daemon, b)).metadata).toEqual({ new: '2' });
  expect((await daemon.basaltctl('backup', 'set', b, '--property', 'nonsense')).status).toBe(64);
  // All that is local is lost: what is left is in the repository.
  await daemon.stop();
  for (const name of readdirSync(daemon.stateDir))
    if (name.startsWith('catalog.mdb') || name.startsWith('index-')) rmSync(join(daemon.stateDir, name));
  await daemon.start();
  await daemon.done(daemon.call('catalog.rebuild', {}));
  expect(await show(daemon, a)).toMatchObject({ ...told, metadata: { y: '2' } });
  expect(await show(daemon, b)).toMatchObject({ name: 'b', metadata: { new: '2' } });
  await daemon.done(daemon.call('backup.delete', { backup: a }));
  expect(readdirSync(join(daemon.repositoryDir, 'notes'))).toEqual([`${b}.json`]);
});

test('set: a damaged note is told by the rebuild, and the name of the manifest counts', async () => {
  const daemon = await daemonForTest();
  const [a] = await four(daemon);
  await daemon.call('backup.set', { backup: a, name: 'renamed' });
  writeFileSync(join(daemon.repositoryDir, 'notes', `${a}.json`), '{}\nbad\n');
  const job = await daemon.failed(daemon.call('catalog.rebuild', {}), 'FOUND_DAMAGE');
  expect(job.result).toMatchObject({ damaged_manifests: [{ key: `notes/${a}.json` }] });
  await daemon.done(daemon.call('backup.verify', { backup: a }));
});

test('set: what changes while a backup is made is not lost when it is done', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 4 * MiB, 1);
  const { backup, job_id } = await daemon.call('backup.create', { volume: 'v', rate: 4 * MiB });
  await daemon.call('backup.set', { backup: backup.id, name: 'while', properties: { k: 'v' } });
  await daemon.done({ job_id });
  const told = { name: 'while', metadata: { k: 'v' } };
  expect(await show(daemon, backup.id)).toMatchObject({ status: 'available', ...told });
  await daemon.done(daemon.call('catalog.rebuild', {}));
  expect(await show(daemon, backup.id)).toMatchObject(told);
});

test('set: --state marks an error and takes it back, but calls nothing available that has no data', async () => {
  const daemon = await daemonForTest();
  const [a] = await four(daemon);
  const set = (backup: string, state: 'available' | 'error') => daemon.call('backup.set', { backup, state });
  expect((await daemon.basaltctl('backup', 'set', a, '--state', 'error')).status).toBe(0);
  expect(await codeOfCall(daemon.call('backup.restore', { backup: a }))).toBe('BACKUP_UNKNOWN');
  expect(await set(a, 'available')).toMatchObject({ status: 'available', fail_reason: '' });
  await daemon.done(daemon.call('backup.verify', { backup: a }));
  // One that failed has no data to be available with; one that is being made goes on.
  await addNoise(daemon, 'x', 8 * MiB, 3);
  const { backup, job_id } = await daemon.call('backup.create', { volume: 'x', rate: MiB });
  await underWay(daemon, job_id);
  expect(await codeOfCall(set(backup.id, 'error'))).toBe('BACKUP_BUSY');
  writeFileSync(sourceOf(daemon, 'x'), 'short');
  await daemon.ended(job_id);
  expect(await codeOfCall(set(backup.id, 'available'))).toBe('MANIFEST_MISSING');
  expect(await show(daemon, backup.id)).toMatchObject({ status: 'error' });
});

test('set: --state error on a backup that is being restored cancels the restore', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 8 * MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  const { job_id } = await daemon.call('backup.restore', { backup, target: 'v', force: true, rate: MiB });
  await underWay(daemon, job_id);
  expect((await daemon.basaltctl('backup', 'set', backup, '--state', 'error')).status).toBe(0);
  expect(await daemon.ended(job_id)).toMatchObject({ status: 'cancelled' });
  expect(await show(daemon, backup)).toMatchObject({ status: 'available' });
  expect((await daemon.call('volume.show', { volume: 'v' })).status).toMatch(/^error/);
});

test('set: a user of the project changes names and properties, and only an administrator sets a state', async () => {
  const daemon = await daemonForTest({ settings: 'project_grants = ["uid:65534=default"]\n' });
  const [a] = await four(daemon);
  run('chmod', 'o+x', daemon.folder, daemon.stateDir);
  run('chmod', 'o+rw', daemon.socketPath);
  const setpriv = ['/usr/bin/setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  const program = [...setpriv, process.execPath, clientMain];
  const asUser = async (...words: string[]) =>
    (await startClient(words, { env: { BASALT_SOCKET: daemon.socketPath }, program }).ended).status;
  expect(await asUser('backup', 'set', a, '--name', 'mine', '--property', 'a=b')).toBe(0);
  expect(await asUser('backup', 'set', a, '--state', 'error')).toBe(77);
  expect(await asUser('volume', 'set', 'v', '--property', 'a=b')).toBe(0);
  expect(await asUser('volume', 'set', 'v', '--state', 'available')).toBe(77);
  expect(await asUser('snapshot', 'add', 'v', 's', sourceOf(daemon, 'w'))).toBe(77);
  expect(await asUser('backup', 'set', a, '--name', 'theirs', '--project', 'other')).toBe(77);
  expect(await show(daemon, a)).toMatchObject({ name: 'mine', status: 'available' });
  expect(await asUser('backup', 'create', 'v', '--name', 'of-user', '--wait')).toBe(0);
  expect(await show(daemon, 'of-user')).toMatchObject({ user_id: '65534' });
});

test('delete: several go on after a failure, which ends with how many failed', async () => {
  const daemon = await daemonForTest();
  const [a, b, c] = await four(daemon);
  const ended = await daemon.basaltctl('backup', 'delete', a, 'nobody', b, 'nothing', c);
  expect(ended.status).toBe(66);
  expect(ended.stderr).toContain('Cannot find backup "nobody"');
  expect(ended.stderr).toContain('2 of 5 backups failed to delete.');
  expect(await idsOf(daemon)).toHaveLength(1);
});

test('delete: a parent goes before its children, as native backups depend on nothing', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', MiB, 1);
  const full = await daemon.backUp('v');
  const child = await daemon.backUp('v', true);
  expect(await show(daemon, full.id)).toMatchObject({
    has_dependent_backups: false,
    num_dependent_backups: 0,
  });
  expect((await daemon.basaltctl('backup', 'delete', full.id)).status).toBe(0);
  await daemon.done(daemon.call('backup.verify', { backup: child.id }));
  expect(existsSync(join(daemon.repositoryDir, 'manifests', `${full.id}.json`))).toBe(false);
});

test('job limit: a job that has ended has no rate to change', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 1000, 1);
  const started = await daemon.call('backup.create', { volume: 'v' });
  await daemon.done(started);
  expect(await codeOfCall(daemon.call('job.limit', { job: started.job_id, rate: 1 }))).toBe(
    'INVALID_ARGUMENT',
  );
  expect((await daemon.basaltctl('limit', 'show')).stdout).toMatch(/read_bytes_per_second\s*\|\s*none/);
});
