/** A daemon with a repository in Cinder's format: backups that Cinder restores, copies from and to it, its audit. */

import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import type { BackupValue } from '../../daemon/protocol/values.ts';
import { checkChunked, restoreChunked } from '../support/cinder-repository.ts';
import { codeOfCall, type Daemon, eventually } from '../support/daemon.ts';
import { daemonForTest } from '../support/fault-world.ts';

type Init = NonNullable<Parameters<typeof withCinder>[1]>;

/** A volume "v" and a Cinder repository "cinder". */
async function withCinder(
  daemon: Daemon,
  options: {
    compression?: 'zlib' | 'bz2' | 'zstd' | 'none';
    object_bytes?: number;
    hash_block_bytes?: number;
  } = {},
): Promise<{ root: string; source: string; bytes: Buffer }> {
  const [root, source] = [join(daemon.folder, 'cinder'), join(daemon.folder, 'v.img')];
  const bytes = Buffer.concat([
    randomBytes(2 * MiB),
    Buffer.alloc(MiB, 'text '),
    Buffer.alloc(2 * MiB),
    randomBytes(70_001),
  ]);
  writeFileSync(source, bytes);
  await daemon.addVolume('v', source);
  await daemon.call('repository.add', { name: 'cinder', url: `cinder+file://${root}` });
  await daemon.call('repository.init', { name: 'cinder', kind: 'cinder', ...options });
  return { root, source, bytes };
}

async function backUp(daemon: Daemon, incremental = false): Promise<BackupValue> {
  const started = await daemon.call('backup.create', { volume: 'v', repository: 'cinder', incremental });
  await daemon.done(started);
  return daemon.call('backup.show', { backup: started.backup.id });
}

/** What a Cinder of either kind, and Basalt itself, make of a backup. */
async function expectRestored(
  daemon: Daemon,
  root: string,
  { id }: BackupValue,
  bytes: Buffer,
): Promise<void> {
  expect((await checkChunked(root, id)).faults).toEqual([]);
  for (const isNew of [false, true]) expect((await restoreChunked(root, id, isNew)).equals(bytes)).toBe(true);
  const target = join(daemon.folder, `${id}.img`);
  await daemon.done(daemon.call('backup.restore', { backup: id, target }));
  expect(readFileSync(target).equals(bytes)).toBe(true);
  rmSync(target);
}

const writes: readonly Init[] = [
  { compression: 'zstd', object_bytes: 1 * MiB + 64 * KiB, hash_block_bytes: 64 * KiB },
  {},
];

test.each(writes)('a chain written with %j restores by Cinder and by Basalt', async (options) => {
  const daemon = await daemonForTest();
  const { root, source, bytes } = await withCinder(daemon, options);
  expect(await daemon.call('repository.show', { name: 'cinder' })).toMatchObject({
    kind: 'cinder',
    status: 'ready',
    compression: 'zlib',
    object_bytes: 50 * MiB,
    hash_block_bytes: 32 * KiB,
    ...options,
  });
  const full = await backUp(daemon);
  await expectRestored(daemon, root, full, bytes);
  randomBytes(100_000).copy(bytes, MiB);
  bytes.fill(0, 1_300_000, 1_600_000);
  writeFileSync(source, bytes);
  const child = await backUp(daemon, true);
  expect([child.parent_id, child.is_incremental]).toEqual([full.id, true]);
  await expectRestored(daemon, root, child, bytes);
  const job = await daemon.done(daemon.call('backup.verify', { backup: child.id }));
  expect(job.result).toMatchObject({ damaged_bytes: 0 });
  const audited = await daemon.done(daemon.call('repository.audit', { name: 'cinder' }));
  expect(audited.result).toMatchObject({ backups_checked: 2, damages: 0, wrongly_restored: [] });
  expect(await codeOfCall(daemon.call('backup.delete', { backup: full.id }))).toBe('BACKUP_HAS_DEPENDENTS');
  // What the daemon knows comes again from what lies there.
  await daemon.done(daemon.call('catalog.rebuild', { name: 'cinder' }));
  const known = await daemon.call('backup.show', { backup: child.id });
  expect({ ...known, updated_at: '' }).toEqual({ ...child, updated_at: '' });
  await daemon.done(daemon.call('backup.delete', { backup: child.id }));
  await daemon.done(daemon.call('backup.delete', { backup: full.id }));
  expect((await daemon.call('repository.stats', { name: 'cinder' })).stored_bytes).toBe(0);
});

test('a long zeroed run makes a full backup, a resized volume too, and one that has grown beyond its GiB asks for it', async () => {
  const daemon = await daemonForTest();
  const { root, source, bytes } = await withCinder(daemon);
  const full = await backUp(daemon);
  bytes.fill(0, 0, 2 * MiB + 512 * KiB);
  writeFileSync(source, bytes);
  const zeroed = await backUp(daemon, true);
  expect([zeroed.parent_id, zeroed.is_incremental]).toEqual([null, false]);
  await expectRestored(daemon, root, zeroed, bytes);
  const longer = Buffer.concat([bytes, randomBytes(10)]);
  writeFileSync(source, longer);
  const grown = await backUp(daemon, true);
  expect(grown.parent_id).toBeNull();
  await expectRestored(daemon, root, grown, longer);
  await daemon.done(daemon.call('backup.delete', { backup: full.id }));
  truncateSync(source, 1024 * MiB + 1);
  await daemon.failed(
    daemon.call('backup.create', { volume: 'v', repository: 'cinder', incremental: true }),
    'NO_PARENT',
  );
});

test('backups go from our format to that of Cinder, and back, as they are', async () => {
  const daemon = await daemonForTest();
  const { root, source, bytes } = await withCinder(daemon, { compression: 'zstd' });
  const full = await daemon.backUp('v');
  const before = Buffer.from(bytes);
  randomBytes(100_000).copy(bytes, MiB);
  writeFileSync(source, bytes);
  const child = await daemon.backUp('v', true);
  const { result } = await daemon.done(
    daemon.call('backup.copy', { backup: child.id, to: 'cinder', chain: true }),
  );
  expect(result).toMatchObject({
    copies: [
      { backup_id: full.id, is_incremental: false, copied: true },
      { backup_id: child.id, is_incremental: true, copied: true, parent_id: full.id },
    ],
  });
  for (const [{ id }, image] of [
    [full, before],
    [child, bytes],
  ] as const) {
    expect((await checkChunked(root, id)).faults).toEqual([]);
    expect((await restoreChunked(root, id, true)).equals(image)).toBe(true);
  }
  // The records are of our own format still; without them those of Cinder count, and go back with their data.
  await daemon.done(daemon.call('backup.delete', { backup: child.id }));
  await daemon.done(daemon.call('backup.delete', { backup: full.id }));
  await daemon.done(daemon.call('catalog.rebuild', { name: 'cinder' }));
  const stored = await daemon.call('backup.show', { backup: child.id });
  expect(stored).toMatchObject({ repository: 'cinder', parent_id: full.id, created_at: child.created_at });
  await daemon.done(daemon.call('backup.copy', { backup: child.id, to: 'default' }));
  const back = await daemon.call('backup.show', { backup: child.id });
  expect(back).toMatchObject({ repository: 'default', parent_id: full.id, created_at: child.created_at });
  const target = join(daemon.folder, 'back.img');
  await daemon.done(daemon.call('backup.restore', { backup: child.id, target }));
  expect(readFileSync(target).equals(bytes)).toBe(true);
  await daemon.done(daemon.call('repository.check', { read_data: true }));
});

test('a repository of somebody else is written to only when an operator says so', async () => {
  const daemon = await daemonForTest();
  await withCinder(daemon);
  const root = join(daemon.folder, 'theirs');
  rmSync(root, { recursive: true, force: true });
  await daemon.call('repository.add', { name: 'theirs', url: `cinder+file://${root}` });
  expect(await codeOfCall(daemon.call('repository.init', { name: 'theirs', object_bytes: 1000 }))).toBe(
    'INVALID_ARGUMENT',
  );
  expect(await codeOfCall(daemon.call('repository.init', { name: 'theirs', kind: 'native' }))).toBe(
    'INVALID_ARGUMENT',
  );
  expect(await codeOfCall(daemon.call('repository.init', { name: 'cinder' }))).toBe('REPOSITORY_EXISTS');
  writeFileSync(join(daemon.folder, 'cinder', 'basalt-cinder.json'), '{}');
  await daemon.stop();
  await daemon.start();
  expect((await daemon.call('repository.show', { name: 'cinder' })).status).toBe('REPOSITORY_DAMAGED');
  rmSync(join(daemon.folder, 'cinder', 'basalt-cinder.json'));
  expect((await daemon.call('repository.show', { name: 'cinder' })).compression).toBeNull();
  const order = { volume: 'v', repository: 'cinder' };
  expect(await codeOfCall(daemon.call('backup.create', order))).toBe('REPOSITORY_READ_ONLY');
  await daemon.call('repository.init', { name: 'cinder', compression: 'none' });
  await daemon.done(daemon.call('backup.create', order));
});

test('a backup that is cancelled leaves nothing, and one that a crash cut off is made anew by itself', async () => {
  const daemon = await daemonForTest();
  const { root, bytes } = await withCinder(daemon, { compression: 'none', object_bytes: 1 * MiB });
  const order = { volume: 'v', repository: 'cinder', rate: 2 * MiB };
  const cancelled = await daemon.call('backup.create', order);
  const isStaged = () => workOf(root).length > 3;
  await eventually('objects are in the making', isStaged);
  expect(readdirSync(root, { recursive: true }).some((name) => String(name).includes('_backup_'))).toBe(
    false,
  );
  await daemon.call('job.cancel', { job: cancelled.job_id });
  expect((await daemon.call('backup.show', { backup: cancelled.backup.id })).status).toBe('error');
  expect(workOf(root)).toEqual([]);
  await daemon.done(daemon.call('backup.delete', { backup: cancelled.backup.id }));

  const cut = await daemon.call('backup.create', order);
  await eventually('objects are in the making', isStaged);
  await daemon.kill();
  await daemon.start();
  expect((await daemon.ended(cut.job_id)).status).toBe('done');
  await expectRestored(daemon, root, cut.backup, bytes);
  expect(workOf(root)).toEqual([]);
});

/** Files in the making. */
function workOf(root: string): string[] {
  const folder = join(root, 'basalt-tmp');
  const all = existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }) : [];
  return all.filter((entry) => entry.isFile()).map(({ name }) => name);
}

test('the client tells what an audit found, and ends with 65 where that is damage', async () => {
  const daemon = await daemonForTest();
  const { root } = await withCinder(daemon, { compression: 'none' });
  const { container } = await backUp(daemon);
  const whole = await daemon.basaltctl('repository', 'audit', 'cinder');
  expect([whole.status, whole.stdout]).toEqual([0, expect.not.stringContaining('damage')]);
  const folder = join(root, container ?? '');
  const [object = ''] = readdirSync(folder).filter((name) => name.endsWith('-00001'));
  const bytes = readFileSync(join(folder, object));
  bytes.writeUInt8(bytes.readUInt8(100) ^ 4, 100);
  writeFileSync(join(folder, object), bytes);
  const damaged = await daemon.basaltctl('repository', 'audit', 'cinder');
  expect([damaged.status, damaged.stdout]).toEqual([65, expect.not.stringContaining('short file')]);
  expect(damaged.stdout).toMatch(/\| damage +\| +0 +\| +32768 +\| its SHA-256 is not that of the hash list/);
  const { status, stdout } = await daemon.basaltctl('repository', 'audit', 'cinder', '-f', 'json');
  expect([status, (JSON.parse(stdout) as { damages: number }).damages]).toEqual([65, 2]);
  const other = await daemon.basaltctl('repository', 'audit');
  expect([other.status, other.stderr]).toEqual([64, expect.stringContaining('repository check --read-data')]);
});

test('an incremental and the deletion of its parent at the same moment: one of them is refused', async () => {
  const daemon = await daemonForTest();
  await withCinder(daemon, { compression: 'none' });
  for (let round = 0; round < 16; round += 1) {
    const parent = await backUp(daemon);
    const child = daemon.call('backup.create', { volume: 'v', repository: 'cinder', incremental: true });
    const ended = child
      .then((started) => daemon.call('job.watch', { job: started.job_id }))
      .catch(() => undefined);
    await wait(round / 2);
    await daemon.call('backup.delete', { backup: parent.id }).then(
      (deletion) => daemon.call('job.watch', { job: deletion.job_id }),
      () => undefined,
    );
    await ended;
    // Whatever is left can be read.
    const { backups } = await daemon.call('backup.list', {});
    for (const backup of backups.filter(({ status }) => status === 'available'))
      await daemon.done(daemon.call('backup.verify', { backup: backup.id }));
    for (const { id } of backups)
      await daemon.done(daemon.call('backup.delete', { backup: id, force: true }));
  }
});

test('where Cinder deletes the parent while its child is made, the child becomes a full backup', async () => {
  const daemon = await daemonForTest();
  const { root, source, bytes } = await withCinder(daemon, { compression: 'none', object_bytes: MiB });
  const parent = await backUp(daemon);
  randomBytes(MiB).copy(bytes, 100_000);
  writeFileSync(source, bytes);
  const order = { volume: 'v', repository: 'cinder', incremental: true, rate: 2 * MiB };
  const started = await daemon.call('backup.create', order);
  await eventually('the child is half made', async () => {
    const { bytes_done } = await daemon.call('job.show', { job: started.job_id });
    return bytes_done >= 2 * MiB;
  });
  // A deletion that has begun: what makes it a backup is gone, what it was compared with is there yet.
  const folder = join(root, parent.container ?? '');
  const metadata = readdirSync(folder).find((name) => name.endsWith('_metadata'));
  rmSync(join(folder, metadata ?? ''));
  await daemon.done(started);
  const child = await daemon.call('backup.show', { backup: started.backup.id });
  expect(child).toMatchObject({ status: 'available', is_incremental: false, parent_id: null });
  await expectRestored(daemon, root, child, bytes);
});

test('a parent that is renamed while its child is still being copied goes with its new name', async () => {
  const daemon = await daemonForTest();
  await withCinder(daemon, { compression: 'none' });
  const [parent, child] = [await backUp(daemon), await backUp(daemon, true)];
  const order = { backup: child.id, to: 'default', chain: true, rate: 4 * MiB };
  const started = await daemon.call('backup.copy', order);
  const manifest = join(daemon.repositoryDir, 'manifests', `${parent.id}.json`);
  await eventually('the parent is copied', () => existsSync(manifest));
  await wait(200);
  await daemon.call('backup.set', { backup: parent.id, name: 'renamed' });
  await daemon.done(started);
  expect(await daemon.call('backup.show', { backup: parent.id })).toMatchObject({
    name: 'renamed',
    repository: 'default',
  });
});
