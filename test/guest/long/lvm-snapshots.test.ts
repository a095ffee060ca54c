/** Snapshots of LVM volumes beyond the plain backup: kept ones, held by hooks, under mounted file systems, and when room gets scarce. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/daemon.ts';
import { folderForTest, holdOpen, mountAt, run } from '../../support/devices.ts';
import { daemonForTest, MiB, underWay } from '../../support/fault-world.ts';
import { hookProgram } from '../../support/reflink.ts';
import {
  attributes,
  bytesOf,
  expectNone,
  groupWith,
  overwrite,
  pause,
  sizeBytes,
  snapshotsOf,
  unlimited,
  volumesOf,
} from '../support/lvm-world.ts';
import { momentOf, startWriter } from '../support/writer.ts';

describe.each(['thick', 'thin'] as const)('%s', (kind) => {
  test('a kept snapshot is backed up, also after its volume group was switched off and on, and removed', async () => {
    const { group, path } = groupWith(kind);
    const daemon = await daemonForTest();
    await daemon.addVolume('shop', path);
    const writer = await startWriter(path, sizeBytes, pause);
    const before = volumesOf(group);
    const made = await daemon.call('snapshot.create', { volume: 'shop', name: 'monday' });
    const [name = ''] = snapshotsOf(group);
    expect(made).toMatchObject({
      made_by: 'lvm',
      source: `lvm:${group.name}/${name}`,
      size_bytes: sizeBytes,
    });
    await writer.stop();
    run('vgchange', '--activate', 'n', group.name);
    run('vgchange', '--activate', 'y', group.name);
    const state = attributes(group, name);
    const started = await daemon.call('backup.create', { volume: 'shop', snapshot: 'monday' });
    await daemon.done(started);
    const moment = momentOf(await bytesOf(daemon, started.backup));
    expect(moment).toBeGreaterThanOrEqual(64);
    expect(momentOf(readFileSync(path))).toBeGreaterThanOrEqual(moment);
    expect(attributes(group, name)).toBe(state);
    expect((await daemon.basaltctl('snapshot', 'remove', 'monday')).status).toBe(0);
    expectNone(group, before);
  });

  test('what is held by a freeze is in the backup as it was then', async () => {
    const { group, path } = groupWith(kind);
    const folder = folderForTest();
    const [log, reference] = [join(folder, 'log'), join(folder, 'reference')];
    const writer = await startWriter(path, sizeBytes, pause);
    const stop = `kill -STOP ${writer.child.pid} && dd if=${path} of=${reference} bs=1M iflag=direct status=none`;
    const freeze = hookProgram(folder, 'freeze', log, stop);
    const thaw = hookProgram(folder, 'thaw', log, `kill -CONT ${writer.child.pid}`);
    const settings = `freeze_command = ["${freeze}"]\nthaw_command = ["${thaw}"]\n`;
    const daemon = await daemonForTest({ settings });
    await daemon.addVolume('shop', path);
    const started = await daemon.call('backup.create', { volume: 'shop', force: true });
    await daemon.done(started);
    await writer.stop();
    expect(snapshotsOf(group)).toEqual([]);
    const bytes = await bytesOf(daemon, started.backup);
    expect(Buffer.compare(bytes, readFileSync(reference))).toBe(0);
    expect(momentOf(readFileSync(path))).toBeGreaterThan(momentOf(bytes));
    expect(await daemon.call('backup.show', { backup: started.backup.id })).toMatchObject({
      consistency: expect.stringMatching(/^application-consistent/) as string,
    });
  });
});

/** A mounted ext4 with something always on its way to the disk. */
function busyFileSystem(path: string): string {
  run('mkfs.ext4', '-q', path);
  const mounted = mountAt(path);
  const script =
    'i=0; while :; do i=$((i+1)); echo "$i" >"$1/$((i % 50))"; sync -f "$1/$((i % 50))"; sleep 0.01; done';
  const child = spawn('sh', ['-c', script, 'sh', mounted], { stdio: 'ignore' });
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        child.once('exit', () => resolve());
        child.kill('SIGKILL');
      }),
  );
  return mounted;
}

test('a mounted file system is whole in the backup, as if it had been unmounted', async () => {
  const { group, path } = groupWith('thick');
  busyFileSystem(path);
  const daemon = await daemonForTest();
  await daemon.addVolume('shop', path);
  const started = await daemon.call('backup.create', { volume: 'shop', force: true });
  await daemon.done(started);
  expect(snapshotsOf(group)).toEqual([]);
  await bytesOf(daemon, started.backup);
  const image = join(daemon.folder, `${started.backup.id}.out`);
  expect(run('dumpe2fs', '-h', image)).not.toMatch(/needs_recovery/);
  run('e2fsck', '-f', '-n', image);
});

test('where the file system itself is frozen LVM makes no snapshot, and nothing of it is left', async () => {
  const { group, path } = groupWith('thick');
  const mounted = busyFileSystem(path);
  const folder = folderForTest();
  const log = join(folder, 'log');
  const freeze = hookProgram(folder, 'freeze', log, `fsfreeze -f ${mounted}`);
  const thaw = hookProgram(folder, 'thaw', log, `fsfreeze -u ${mounted}`);
  const settings = `freeze_command = ["${freeze}"]\nthaw_command = ["${thaw}"]\n`;
  const daemon = await daemonForTest({ settings });
  await daemon.addVolume('shop', path);
  const started = await daemon.call('backup.create', { volume: 'shop', force: true });
  await daemon.done(started);
  expect(snapshotsOf(group)).toEqual([]);
  const { consistency_evidence: evidence } = await daemon.call('backup.show', { backup: started.backup.id });
  expect(evidence).toMatchObject({
    read_from: 'source',
    no_snapshot: expect.stringMatching(/^lvcreate says: .*busy$/) as string,
  });
});

describe('room', () => {
  test('a thick snapshot that fills gets more room while it is read', async () => {
    const { group, path } = groupWith('thick');
    overwrite(path, 16);
    const before = readFileSync(path);
    const daemon = await daemonForTest({ settings: 'lvm_snapshot_percent = 12\n' });
    await daemon.addVolume('shop', path);
    await holdOpen(path, '<>');
    const started = await daemon.call('backup.create', { volume: 'shop', force: true, rate: MiB });
    await underWay(daemon, started.job_id);
    const name = `${group.name}/${snapshotsOf(group)[0]}`;
    const sizeOf = () =>
      Number(run('lvs', '--noheadings', '--nosuffix', '--units', 'm', '-o', 'lv_size', name));
    expect(sizeOf()).toBe(4);
    overwrite(path, 3);
    await eventually('it has grown', () => sizeOf() > 4);
    await unlimited(daemon, started.job_id);
    await daemon.done(started);
    expect((await bytesOf(daemon, started.backup)).equals(before)).toBe(true);
    expect(snapshotsOf(group)).toEqual([]);
  });

  test('a snapshot in a pool that fills is given up, so that the others in the pool can go on', async () => {
    const { group, path } = groupWith('thin', undefined, ['other']);
    const daemon = await daemonForTest({ settings: 'lvm_pool_limit = 20\n' });
    await daemon.addVolume('shop', path);
    await holdOpen(path, '<>');
    const started = await daemon.call('backup.create', { volume: 'shop', force: true, rate: MiB });
    await underWay(daemon, started.job_id);
    overwrite(`/dev/${group.name}/other`, 56);
    const failed = await daemon.failed(Promise.resolve(started), 'SNAPSHOT_LOST');
    expect(failed.fault?.message).toMatch(/thin pool "group\d+\/pool" is used up to \d+ %/);
    expect(snapshotsOf(group)).toEqual([]);
  });
});
