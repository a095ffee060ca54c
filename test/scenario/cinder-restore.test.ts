/** Restoring backups by Cinder's rules: which target, its size, its properties, its encryption, its statuses. */

import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { addAndScan, makeChain } from '../support/cinder-chain.ts';
import { codeOfCall, type Daemon } from '../support/daemon.ts';
import { addNoise, daemonForTest, MiB, outsideFolder, sourceOf, underWay } from '../support/fault-world.ts';
import { noise } from '../support/volume-model.ts';

const volumeOf = (daemon: Daemon, volume: string) => daemon.call('volume.show', { volume });

async function jsonOf(daemon: Daemon, ...words: string[]): Promise<unknown> {
  const { status, stdout, stderr } = await daemon.basaltctl(...words, '-f', 'json');
  if (status !== 0) throw new Error(`basaltctl ${words.join(' ')}: ${stderr}`);
  return JSON.parse(stdout);
}

test('restore: without a target a new volume of the size of the backup is made, named after it', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', MiB + 3, 1);
  await daemon.call('volume.set', { volume: 'v', properties: { owner: 'shop' } });
  const { id: backup } = await daemon.backUp('v');
  await daemon.call('volume.set', { volume: 'v', clear_properties: true });
  await daemon.done(daemon.call('backup.restore', { backup }));
  const made = await volumeOf(daemon, `restore_backup_${backup}`);
  expect(made).toMatchObject({
    status: 'available',
    size_bytes: MiB + 3,
    metadata: { owner: 'shop', src_backup_id: backup },
  });
  expect(readFileSync(new URL(made.source.replace(/^\//, 'file:///'))).equals(bytes)).toBe(true);
  expect((await daemon.call('backup.show', { backup })).restore_volume_id).toBe(made.id);
  await jsonOf(daemon, 'backup', 'restore', backup, '--name', 'second', '--wait');
  expect(await volumeOf(daemon, 'second')).toMatchObject({ metadata: { owner: 'shop' } });
  expect(await codeOfCall(daemon.call('backup.restore', { backup, name: 'second' }))).toBe('ALREADY_EXISTS');
});

test('restore: to a registered volume needs --force, gives its properties back, and says so in the statuses', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 8 * MiB, 1);
  await daemon.call('volume.set', { volume: 'v', properties: { owner: 'shop', tier: 'gold' } });
  const { id: backup } = await daemon.backUp('v');
  await daemon.call('volume.set', { volume: 'v', clear_properties: true, properties: { owner: 'other' } });
  writeFileSync(sourceOf(daemon, 'v'), noise(8 * MiB, 2));
  expect((await daemon.basaltctl('backup', 'restore', backup, 'v')).status).toBe(73);
  const { job_id } = await daemon.call('backup.restore', { backup, target: 'v', force: true, rate: 4 * MiB });
  await underWay(daemon, job_id);
  const { id: volume } = await volumeOf(daemon, 'v');
  expect(await volumeOf(daemon, 'v')).toMatchObject({
    status: 'restoring-backup',
    previous_status: 'available',
  });
  expect(await daemon.call('backup.show', { backup })).toMatchObject({
    status: 'restoring',
    restore_volume_id: volume,
  });
  expect(await codeOfCall(daemon.call('backup.create', { volume: 'v', force: true }))).toBe('VOLUME_BUSY');
  await daemon.done({ job_id });
  expect(readFileSync(sourceOf(daemon, 'v')).equals(bytes)).toBe(true);
  // It came back to the volume that it is of: there is nothing to mark.
  const after = await volumeOf(daemon, 'v');
  expect(after).toMatchObject({ status: 'available', metadata: { owner: 'shop', tier: 'gold' } });
  expect(Object.keys(after.metadata)).toHaveLength(2);
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
});

test('restore: another volume keeps its tail where it is larger, is marked, and is refused where it is smaller', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', MiB, 1);
  const large = await addNoise(daemon, 'large', 2 * MiB, 2);
  const small = await addNoise(daemon, 'small', MiB - 1, 3);
  await daemon.call('volume.set', { volume: 'large', properties: { mine: 'yes' } });
  const { id: backup } = await daemon.backUp('v');
  await jsonOf(daemon, 'backup', 'restore', backup, 'large', '--force', '--wait');
  const written = readFileSync(sourceOf(daemon, 'large'));
  expect(written.subarray(0, MiB).equals(bytes)).toBe(true);
  expect(written.subarray(MiB).equals(large.subarray(MiB))).toBe(true);
  // The volume of the backup had no properties: those of the target stay.
  expect((await volumeOf(daemon, 'large')).metadata).toEqual({ mine: 'yes', src_backup_id: backup });
  const refused = await daemon.basaltctl('backup', 'restore', backup, 'small', '--force');
  expect(refused.status).toBe(73);
  expect(readFileSync(sourceOf(daemon, 'small')).equals(small)).toBe(true);
  expect(await volumeOf(daemon, 'small')).toMatchObject({ status: 'available' });
});

test('restore: one that ends too early leaves the backup available and its target in error_restoring', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 8 * MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  const { job_id } = await daemon.call('backup.restore', { backup, target: 'v', force: true, rate: MiB });
  await underWay(daemon, job_id);
  await daemon.call('job.cancel', { job: job_id });
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
  expect(await volumeOf(daemon, 'v')).toMatchObject({ status: 'error_restoring' });
  // Another restore puts it right.
  await daemon.done(daemon.call('backup.restore', { backup, target: 'v', force: true }));
  expect(await volumeOf(daemon, 'v')).toMatchObject({ status: 'available' });
  expect(readFileSync(sourceOf(daemon, 'v')).equals(bytes)).toBe(true);
});

test('restore: one that is cancelled before it begins leaves its target as it was', async () => {
  const daemon = await daemonForTest({ settings: 'max_operations = 1\n' });
  await addNoise(daemon, 'v', 8 * MiB, 1);
  await addNoise(daemon, 'slow', 8 * MiB, 2);
  const { id: backup } = await daemon.backUp('v');
  const first = await daemon.call('backup.create', { volume: 'slow', rate: 65_536 });
  await underWay(daemon, first.job_id);
  const { job_id } = await daemon.call('backup.restore', { backup, target: 'v', force: true });
  await daemon.call('job.cancel', { job: job_id });
  expect(await volumeOf(daemon, 'v')).toMatchObject({ status: 'available', written_bytes: 0 });
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
  await daemon.call('job.cancel', { job: first.job_id });
});

test('restore: a path that is a registered volume is that volume, also by way of a link', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 8 * MiB, 1);
  await addNoise(daemon, 'w', 8 * MiB, 2);
  const { id: backup } = await daemon.backUp('v');
  const link = join(daemon.folder, 'link.img');
  symlinkSync(sourceOf(daemon, 'w'), link);
  for (const target of [sourceOf(daemon, 'w'), `file://${link}`]) {
    const { job_id } = await daemon.call('backup.restore', { backup, target, force: true, rate: MiB });
    await underWay(daemon, job_id);
    expect(await volumeOf(daemon, 'w')).toMatchObject({ status: 'restoring-backup' });
    await daemon.call('job.cancel', { job: job_id });
    // Half of it is of another volume: nobody may back it up unawares.
    expect(await volumeOf(daemon, 'w')).toMatchObject({ status: 'error_restoring' });
    expect(await codeOfCall(daemon.call('backup.create', { volume: 'w' }))).toBe('VOLUME_BUSY');
  }
  const again = { backup, target: link, force: true };
  expect(await codeOfCall(daemon.call('backup.restore', { ...again, name: 'x' }))).toBe('ALREADY_EXISTS');
  await daemon.done(daemon.call('backup.restore', again));
  expect(await volumeOf(daemon, 'w')).toMatchObject({ status: 'available' });
  expect(readFileSync(sourceOf(daemon, 'w')).equals(bytes)).toBe(true);
});

test('restore: encrypted data goes to encrypted volumes only, and plain data to plain ones', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'plain', MiB, 1);
  const sealed = join(daemon.folder, 'sealed.img');
  writeFileSync(sealed, noise(MiB, 2));
  const added = ['volume', 'add', 'sealed', sealed, '--encryption-key-id', 'key-1', '--property', 'a=b'];
  expect(await jsonOf(daemon, ...added)).toMatchObject({ encryption_key_id: 'key-1', metadata: { a: 'b' } });
  const plain = await daemon.backUp('plain');
  const secret = await daemon.backUp('sealed');
  expect(plain.encryption_key_id).toBeNull();
  expect(secret.encryption_key_id).toBe('key-1');
  const restore = (backup: string, target: string) =>
    daemon.call('backup.restore', { backup, target, force: true });
  expect(await codeOfCall(restore(plain.id, 'sealed'))).toBe('TARGET_UNUSABLE');
  expect(await codeOfCall(restore(secret.id, 'plain'))).toBe('TARGET_UNUSABLE');
  expect(await codeOfCall(restore(secret.id, sourceOf(daemon, 'plain')))).toBe('TARGET_UNUSABLE');
  expect(readFileSync(sealed).equals(noise(MiB, 2))).toBe(true);
  await daemon.done(restore(secret.id, 'sealed'));
  await daemon.done(daemon.call('backup.restore', { backup: secret.id, name: 'copy' }));
  expect(await volumeOf(daemon, 'copy')).toMatchObject({ encryption_key_id: 'key-1', metadata: { a: 'b' } });
  // The key comes back with the backup, also where the catalog was lost.
  await daemon.done(daemon.call('catalog.rebuild', {}));
  expect(await daemon.call('backup.show', { backup: secret.id })).toMatchObject({
    encryption_key_id: 'key-1',
  });
});

test('what a connection_info says is encrypted is not taken without the name of its key, and never mixed with what is not', async () => {
  const daemon = await daemonForTest();
  const path = join(daemon.folder, 'luks.img');
  const infoOf = (device_path: string, encrypted: boolean) => ({
    driver_volume_type: 'local',
    data: { device_path, encrypted, access_mode: 'rw' },
  });
  writeFileSync(path, noise(MiB, 3));
  const connection_info = infoOf(path, true);
  const add = daemon.call('volume.add', { name: 'luks', connection_info });
  await expect(add).rejects.toMatchObject({
    fault: { code: 'INVALID_ARGUMENT', hint: expect.stringContaining('--encryption-key-id') },
  });
  await daemon.call('volume.add', { name: 'luks', connection_info, encryption_key_id: 'key-2' });
  expect(await volumeOf(daemon, 'luks')).toMatchObject({ encryption_key_id: 'key-2' });
  const { id: backup, encryption_key_id } = await daemon.backUp('luks');
  expect(encryption_key_id).toBe('key-2');
  const other = join(daemon.folder, 'other.img');
  writeFileSync(other, noise(MiB, 4));
  const onto = (encrypted: boolean) =>
    daemon.call('backup.restore', { backup, connection_info: infoOf(other, encrypted), force: true });
  expect(await codeOfCall(onto(false))).toBe('TARGET_UNUSABLE');
  await daemon.done(onto(true));
  expect(readFileSync(other).equals(noise(MiB, 3))).toBe(true);
});

test('restore: what Cinder kept of a volume comes back: properties and the key', async () => {
  const daemon = await daemonForTest();
  const folder = outsideFolder();
  const properties = { owner: 'shop', huge: 'x'.repeat(256), number: 7 };
  const order = {
    compression: 'zlib',
    count: 1,
    seed: 1,
    size: MiB,
    encryption_key_id: 'key-7',
    properties,
  } as const;
  const [made] = makeChain(folder, order);
  if (made === undefined) throw new Error('no backup was made');
  await addAndScan(daemon, folder);
  expect(await daemon.call('backup.show', { backup: made.id })).toMatchObject({ encryption_key_id: 'key-7' });
  await daemon.done(daemon.call('backup.restore', { backup: made.id, name: 'back' }));
  // What is no property of ours, or too long for one, is left out.
  expect(await volumeOf(daemon, 'back')).toMatchObject({
    encryption_key_id: 'key-7',
    metadata: { owner: 'shop', src_backup_id: made.id },
  });
  expect(Object.keys((await volumeOf(daemon, 'back')).metadata)).toHaveLength(2);
});

test('volume set: properties are set, cleared and removed', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 1000, 1);
  await jsonOf(daemon, 'volume', 'set', 'v', '--property', 'a=1', '--property', 'b=2');
  await jsonOf(daemon, 'volume', 'unset', 'v', '--property', 'a', '--property', 'c');
  expect((await volumeOf(daemon, 'v')).metadata).toEqual({ b: '2' });
  await jsonOf(daemon, 'volume', 'set', 'v', '--no-property', '--property', 'd=4');
  expect((await volumeOf(daemon, 'v')).metadata).toEqual({ d: '4' });
  const huge = { volume: 'v', properties: { big: 'x'.repeat(256) } };
  expect(await codeOfCall(daemon.call('volume.set', huge))).toBe('INVALID_ARGUMENT');
  expect((await daemon.basaltctl('volume', 'set', 'v', '--state', 'error')).status).toBe(64);
});
