/** Snapshots on file systems that can share bytes (btrfs, XFS): kept ones, and temporary ones of sources in use. */

import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { codeOfCall, type Daemon, eventually } from '../support/daemon.ts';
import { holdOpen, run } from '../support/devices.ts';
import { daemonForTest, expectRestores, MiB, underWay } from '../support/fault-world.ts';
import { mountedReflink, reflinkKinds } from '../support/reflink.ts';
import { noise } from '../support/volume-model.ts';

const hidden = (folder: string): string[] => readdirSync(folder).filter((name) => name.startsWith('.'));

async function volumeOn(folder: string, daemon: Daemon, bytes: Buffer): Promise<string> {
  const path = join(folder, 'web.img');
  writeFileSync(path, bytes);
  await daemon.addVolume('web', path);
  return path;
}

function overwrite(path: string, bytes: Buffer, position: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, position);
  closeSync(fd);
}

describe.each(reflinkKinds)('on %s', (kind) => {
  test('snapshot: a source in use is read from a temporary snapshot of one moment, which is removed', async () => {
    const daemon = await daemonForTest();
    const folder = mountedReflink(kind);
    const before = noise(8 * MiB, 1);
    const path = await volumeOn(folder, daemon, before);
    await holdOpen(path, '<>');
    expect(await codeOfCall(daemon.call('backup.create', { volume: 'web' }))).toBe('SOURCE_BUSY');
    const { backup, job_id } = await daemon.call('backup.create', {
      volume: 'web',
      force: true,
      rate: 4 * MiB,
    });
    const [name = ''] = await eventually('a snapshot', () => {
      const found = hidden(folder);
      return found.length > 0 && found;
    });
    expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    await eventually(
      'it is read',
      async () => (await daemon.call('job.show', { job: job_id })).bytes_done > 0,
    );
    expect((await daemon.call('backup.show', { backup: backup.id })).temp_snapshot_id).toMatch(
      /^[0-9a-f-]{36}$/,
    );
    overwrite(path, noise(8 * MiB, 2), 0);
    await daemon.done({ job_id });
    expect(hidden(folder)).toEqual([]);
    expect(await daemon.call('backup.show', { backup: backup.id })).toMatchObject({
      temp_snapshot_id: null,
      consistency: expect.stringMatching(
        /^crash-consistent: read from a temporary snapshot, made while it was in use/,
      ),
      consistency_evidence: {
        read_from: 'temporary-snapshot',
        used_by: [expect.stringMatching(/^open for writing by process/)],
        hooks: [],
      },
    });
    await expectRestores(daemon, backup.id, before);
  });

  test('snapshot: create keeps the moment, a backup reads it, and remove removes its file', async () => {
    const daemon = await daemonForTest();
    const folder = mountedReflink(kind);
    const before = noise(2 * MiB + 5, 1);
    const path = await volumeOn(folder, daemon, before);
    const made = await daemon.call('snapshot.create', { volume: 'web', name: 'monday' });
    expect(made).toMatchObject({ status: 'available', made_by: 'reflink', size_bytes: 2 * MiB + 5 });
    const file = decodeURIComponent(new URL(made.source).pathname);
    expect(readFileSync(file).equals(before)).toBe(true);
    overwrite(path, noise(MiB, 2), 0);
    const started = await daemon.call('backup.create', { volume: 'web', snapshot: 'monday' });
    await daemon.done(started);
    expect(await daemon.call('backup.show', { backup: started.backup.id })).toMatchObject({
      snapshot_id: made.id,
      data_timestamp: made.created_at,
      consistency: 'clean',
      consistency_evidence: { read_from: 'snapshot', used_by: [] },
    });
    await expectRestores(daemon, started.backup.id, before);
    expect(await codeOfCall(daemon.call('snapshot.create', { volume: 'web', name: 'monday' }))).toBe(
      'ALREADY_EXISTS',
    );
    expect(hidden(folder)).toHaveLength(1);
    expect((await daemon.basaltctl('snapshot', 'remove', 'monday')).status).toBe(0);
    expect(existsSync(file)).toBe(false);
    expect((await daemon.call('snapshot.list', {})).snapshots).toEqual([]);
    expect(existsSync(path)).toBe(true);
  });

  test('snapshot: a backup of a daemon that was killed goes on with its temporary snapshot, which then goes', async () => {
    const daemon = await daemonForTest();
    const folder = mountedReflink(kind);
    const before = noise(8 * MiB, 1);
    const path = await volumeOn(folder, daemon, before);
    await holdOpen(path, '<>');
    const { backup, job_id } = await daemon.call('backup.create', { volume: 'web', force: true, rate: MiB });
    await underWay(daemon, job_id);
    expect(hidden(folder)).toHaveLength(1);
    await daemon.kill();
    overwrite(path, noise(8 * MiB, 2), 0);
    await daemon.start();
    expect(hidden(folder)).toHaveLength(1);
    await daemon.call('job.limit', { job: job_id, rate: 0 });
    await daemon.done({ job_id });
    expect(hidden(folder)).toEqual([]);
    expect(await daemon.call('volume.show', { volume: 'web' })).toMatchObject({ status: 'available' });
    expect(await daemon.call('backup.show', { backup: backup.id })).toMatchObject({
      temp_snapshot_id: null,
      consistency_evidence: { read_from: 'temporary-snapshot' },
    });
    await expectRestores(daemon, backup.id, before);
  });

  test('snapshot: a temporary one of a backup that is cancelled is removed', async () => {
    const daemon = await daemonForTest();
    const folder = mountedReflink(kind);
    const path = await volumeOn(folder, daemon, noise(8 * MiB, 1));
    await holdOpen(path, '<>');
    const { job_id } = await daemon.call('backup.create', { volume: 'web', force: true, rate: MiB });
    await underWay(daemon, job_id);
    expect(hidden(folder)).toHaveLength(1);
    await daemon.call('job.cancel', { job: job_id });
    await eventually('it is gone', () => hidden(folder).length === 0);
    expect(await daemon.call('volume.show', { volume: 'web' })).toMatchObject({ status: 'available' });
  });
});

test('snapshot: a temporary one that cannot be removed is removed by the next start', async () => {
  const daemon = await daemonForTest();
  const folder = mountedReflink('btrfs');
  const path = await volumeOn(folder, daemon, noise(8 * MiB, 1));
  await holdOpen(path, '<>');
  const { job_id } = await daemon.call('backup.create', { volume: 'web', force: true, rate: 4 * MiB });
  await underWay(daemon, job_id);
  run('chattr', '+i', folder);
  try {
    await daemon.done({ job_id });
    expect(hidden(folder)).toHaveLength(1);
    await daemon.kill();
    await daemon.start();
    expect(hidden(folder)).toHaveLength(1);
  } finally {
    run('chattr', '-i', folder);
  }
  await daemon.kill();
  await daemon.start();
  expect(hidden(folder)).toEqual([]);
});

test('snapshot: a file of btrfs without copy-on-write can be snapshotted, too', async () => {
  const daemon = await daemonForTest();
  const folder = mountedReflink('btrfs');
  run('chattr', '+C', folder);
  const bytes = noise(MiB, 1);
  await volumeOn(folder, daemon, bytes);
  run('chattr', '-C', folder);
  const { source } = await daemon.call('snapshot.create', { volume: 'web' });
  expect(readFileSync(new URL(source).pathname).equals(bytes)).toBe(true);
});

test('snapshot: a source that can make none says so, and nothing is left', async () => {
  const daemon = await daemonForTest();
  const shared = join('/dev/shm', `basalt-${process.pid}`);
  run('mkdir', shared);
  try {
    const path = await volumeOn(shared, daemon, noise(MiB, 1));
    expect(await daemon.basaltctl('snapshot', 'create', 'web')).toMatchObject({
      status: 73,
      stderr: expect.stringMatching(/its file system cannot share bytes between files\n.*snapshot add/),
    });
    expect(readdirSync(shared)).toEqual(['web.img']);
    expect((await daemon.call('snapshot.list', {})).snapshots).toEqual([]);
    expect(existsSync(path)).toBe(true);
  } finally {
    run('rm', '-r', shared);
  }
});
