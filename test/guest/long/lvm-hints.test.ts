/** Incremental backups of thin volumes read only what their pool says to have changed: between kept snapshots, and between the temporary
 *  ones of a volume in use. Whatever does not fit ends in a backup that has read everything. */

import { existsSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { BackupValue } from '../../../daemon/protocol/values.ts';
import { type Daemon, eventually } from '../../support/daemon.ts';
import { folderForTest, holdOpen, run } from '../../support/devices.ts';
import { blockBytes, daemonForTest, MiB, underWay } from '../../support/fault-world.ts';
import { type VolumeGroup, volumeGroup } from '../support/lvm.ts';
import { overwrite, snapshotsOf, unlimited } from '../support/lvm-world.ts';

/** For machines on which much else goes on. */
const patienceMs = 1_800_000;

/** Where the pool holds its metadata for somebody; "-": nowhere. */
const held = (group: VolumeGroup): string =>
  run('dmsetup', 'status', '--noflush', `${group.name}-pool-tpool`).split(' ')[6] ?? '';

const expectNothingHeld = (daemon: Daemon, group: VolumeGroup): void => {
  expect(held(group)).toBe('-');
  const notes = join(daemon.stateDir, 'pools');
  expect(existsSync(notes) ? readdirSync(notes) : []).toEqual([]);
};

/** Writes of 4 KiB here and there, and discards. Gives how many blocks of a backup they may touch. */
function change(path: string, sizeBytes: number, seed: number): number {
  const script = [
    'import os, random, sys',
    'path, size, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])',
    'random.seed(seed)',
    'disk = os.open(path, os.O_WRONLY)',
    'for _ in range(48): os.pwrite(disk, random.randbytes(4096), random.randrange(size // 4096) * 4096)',
    'os.fsync(disk)',
  ].join('\n');
  run('/usr/bin/python3', '-c', script, path, String(sizeBytes), String(seed));
  const discards = [1, 3, 7].map((place) => (place + seed) * 2 * MiB);
  for (const at of discards) run('blkdiscard', '--offset', String(at), '--length', String(MiB), path);
  return 48 + discards.length * (MiB / blockBytes);
}

/** A file with what is on the device now. */
function reference(path: string): string {
  const file = join(folderForTest(), 'reference');
  run('dd', `if=${path}`, `of=${file}`, 'bs=1M', 'iflag=direct', 'status=none');
  return file;
}

async function expectSame(daemon: Daemon, { id }: Pick<BackupValue, 'id'>, file: string): Promise<void> {
  const target = join(daemon.folder, 'restored');
  await daemon.done(daemon.call('backup.restore', { backup: id, target }));
  run('cmp', target, file);
  rmSync(target);
}

/** Another program in the place of thin_delta, until the answer is called or the test has finished. */
function instead(script: string): () => void {
  const path = '/usr/sbin/thin_delta';
  const real = readlinkSync(path);
  const back = () => {
    rmSync(path, { force: true });
    symlinkSync(real, path);
  };
  onTestFinished(back);
  rmSync(path);
  if (script !== '') writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return back;
}

async function backUpSnapshot(daemon: Daemon, name: string, incremental: boolean) {
  await daemon.call('snapshot.create', { volume: 'shop', name });
  const started = await daemon.call('backup.create', { volume: 'shop', snapshot: name, incremental });
  const { result } = await daemon.done(started);
  return { backup: started.backup, result };
}

test(
  'between kept snapshots only what has changed is read; a pool that lies is found out',
  async () => {
    const sizeBytes = 256 * MiB;
    const group = volumeGroup(900 * MiB, { poolBytes: 720 * MiB });
    const path = group.thin('shop', sizeBytes);
    overwrite(path, 200);
    const daemon = await daemonForTest();
    await daemon.addVolume('shop', path);
    const first = await backUpSnapshot(daemon, 'first', false);
    expect(first.result?.['hints']).toBe(undefined);

    const blocks = change(path, sizeBytes, 1);
    const wanted = reference(path);
    await daemon.call('snapshot.create', { volume: 'shop', name: 'second' });
    change(path, sizeBytes, 2);
    const order = { volume: 'shop', snapshot: 'second', incremental: true };
    const second = await daemon.call('backup.create', order);
    const { result } = await daemon.done(second);
    expect(result).toMatchObject({ hints: 'used', compared_blocks: expect.any(Number) as number });
    expect(Number(result?.['read_bytes'])).toBeGreaterThan(0);
    expect(Number(result?.['read_bytes'])).toBeLessThanOrEqual(blocks * blockBytes);
    expect(Number(result?.['kept_bytes'])).toBeGreaterThanOrEqual(sizeBytes - blocks * blockBytes);
    const shown = await daemon.call('backup.show', { backup: second.backup.id });
    expect(shown.consistency_evidence).toMatchObject({
      made_from: { kind: 'lvm-thin' },
      hints: { use: 'used', kept_bytes: result?.['kept_bytes'] },
    });
    expectNothingHeld(daemon, group);
    await expectSame(daemon, second.backup, wanted);
    // What it had read does not differ from what a backup has that read everything.
    const whole = await daemon.call('backup.create', { ...order, incremental: false });
    await daemon.done(whole);
    const { root_digest } = await daemon.call('backup.show', { backup: whole.backup.id });
    expect(shown.root_digest).toBe(root_digest);

    // A tenth of the volume, of which the pool says nothing.
    for (let at = 0; at < 256; at += 10)
      run(
        'dd',
        'if=/dev/urandom',
        `of=${path}`,
        'bs=1M',
        'count=1',
        `seek=${at}`,
        'oflag=direct',
        'status=none',
      );
    const head = '<superblock uuid="" time="9" transaction="999" data_block_size="128" nr_data_blocks="0">';
    const pair =
      'sed "s/.*--snap1 \\([0-9]*\\) --snap2 \\([0-9]*\\).*/<diff left=\\"\\1\\" right=\\"\\2\\">/"';
    const back = instead(
      `echo '${head}'; echo "$*" | ${pair}; echo '<same begin="0" length="4096"/>'; echo '</diff>'; echo '</superblock>'`,
    );
    const lied = await backUpSnapshot(daemon, 'third', true);
    back();
    expect(lied.result).toMatchObject({ hints: 'mismatch, read everything', kept_bytes: 0 });
    await expectSame(daemon, lied.backup, reference(path));
    expectNothingHeld(daemon, group);
  },
  patienceMs,
);

test(
  'where anything does not fit everything is read, and the evidence says why',
  async () => {
    const sizeBytes = 16 * MiB;
    const group = volumeGroup(200 * MiB, { poolBytes: 128 * MiB });
    const path = group.thin('shop', sizeBytes);
    overwrite(path, 16);
    const daemon = await daemonForTest();
    await daemon.addVolume('shop', path);
    await backUpSnapshot(daemon, 'one', false);
    const pool = `${group.name}-pool-tpool`;

    run('dmsetup', 'message', pool, '0', 'reserve_metadata_snap');
    const theirs = held(group);
    const busy = await backUpSnapshot(daemon, 'two', true);
    expect(busy.result).toMatchObject({
      hints: 'somebody else reads the metadata of its thin pool, read everything',
      kept_bytes: 0,
      read_bytes: sizeBytes,
    });
    expect(held(group)).toBe(theirs);
    run('dmsetup', 'message', pool, '0', 'release_metadata_snap');

    const back = instead('');
    const lacking = await backUpSnapshot(daemon, 'three', true);
    back();
    expect(lacking.result?.['hints']).toMatch(
      /^program "thin_delta" is not on this host .*, read everything$/,
    );

    const damaged = instead('echo "<superblock"; exit 1');
    const odd = await backUpSnapshot(daemon, 'four', true);
    damaged();
    expect(odd.result?.['hints']).toMatch(/thin_delta.*, read everything$/);

    await daemon.call('snapshot.remove', { snapshot: 'four' });
    const gone = await backUpSnapshot(daemon, 'five', true);
    expect(gone.result?.['hints']).toBe('the snapshot of the parent is not there any more, read everything');
    const again = await backUpSnapshot(daemon, 'six', true);
    expect(again.result).toMatchObject({ hints: 'used', read_bytes: 0, kept_bytes: sizeBytes });
    expectNothingHeld(daemon, group);
    await expectSame(daemon, again.backup, reference(path));

    // Killed while the metadata is held: the next daemon releases it, and goes on.
    const slow = instead('exec sleep 100');
    await daemon.call('snapshot.create', { volume: 'shop', name: 'seven' });
    const killed = await daemon.call('backup.create', {
      volume: 'shop',
      snapshot: 'seven',
      incremental: true,
    });
    await eventually('the metadata is held', () => held(group) !== '-', 300_000);
    await daemon.kill();
    expect(held(group)).not.toBe('-');
    slow();
    await daemon.start();
    expect((await daemon.done(killed)).result).toMatchObject({ hints: 'used', kept_bytes: sizeBytes });
    expectNothingHeld(daemon, group);
    for (const { id } of (await daemon.call('snapshot.list', {})).snapshots)
      await daemon.call('snapshot.remove', { snapshot: id });
    expect(snapshotsOf(group)).toEqual([]);
  },
  patienceMs,
);

test(
  'the last snapshot of a volume in use stays for the next backup, where that is wanted',
  async () => {
    const sizeBytes = 64 * MiB;
    const group = volumeGroup(400 * MiB, { poolBytes: 320 * MiB });
    const path = group.thin('shop', sizeBytes);
    const other = group.thin('other', 200 * MiB);
    overwrite(path, 64);
    const daemon = await daemonForTest({ settings: 'lvm_keep_snapshots = true\nlvm_pool_limit = 60\n' });
    await daemon.addVolume('shop', path);
    await holdOpen(path, '<>');
    const order = { volume: 'shop', force: true };
    await daemon.done(daemon.call('backup.create', order));
    const [first] = snapshotsOf(group);
    expect(snapshotsOf(group)).toEqual([first]);

    const blocks = change(path, sizeBytes, 1);
    const wanted = reference(path);
    const started = await daemon.call('backup.create', { ...order, incremental: true, rate: 200_000 });
    await underWay(daemon, started.job_id);
    expect(snapshotsOf(group)).toHaveLength(2);
    await daemon.kill();
    await daemon.start();
    await unlimited(daemon, started.job_id);
    const { result } = await daemon.done(started);
    expect(result).toMatchObject({ hints: 'used' });
    expect(Number(result?.['read_bytes'])).toBeLessThanOrEqual(blocks * blockBytes);
    await expectSame(daemon, started.backup, wanted);
    const [second, ...none] = snapshotsOf(group);
    expect(none).toEqual([]);
    expect(second).not.toBe(first);
    expect((await daemon.call('snapshot.list', {})).snapshots).toMatchObject([
      { source: `lvm:${group.name}/${second}`, kept_for_backup: started.backup.id, status: 'available' },
    ]);
    expectNothingHeld(daemon, group);

    // A pool that fills needs its room for its volumes.
    overwrite(other, 160);
    const listed = async () => (await daemon.call('snapshot.list', {})).snapshots;
    await eventually('the snapshot is gone', async () => (await listed()).length === 0, 300_000);
    expect(snapshotsOf(group)).toEqual([]);
    const full = await daemon.call('backup.create', { ...order, incremental: true });
    await daemon.done(full);
    expect(snapshotsOf(group)).toEqual([]);
  },
  patienceMs,
);
