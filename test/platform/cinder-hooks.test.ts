/** Commands that hold an application still while a snapshot of its volume is made: when they run, and what is kept of it. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { codeOfCall, type Daemon, eventually } from '../support/daemon.ts';
import { folderForTest, holdOpen } from '../support/devices.ts';
import { daemonForTest, MiB } from '../support/fault-world.ts';
import { hookProgram, mountedReflink } from '../support/reflink.ts';
import { noise } from '../support/volume-model.ts';

interface Call {
  readonly hook: string;
  readonly volume_name: string;
  readonly backup_id: string | null;
  readonly snapshot_id: string | null;
}

/** A daemon whose hooks do `freeze` and `thaw`, and a volume in use on a file system that can make snapshots. */
async function world(freeze: string, thaw: string, more = '') {
  const folder = folderForTest();
  const log = join(folder, 'calls');
  writeFileSync(log, '');
  const [before, after] = [
    hookProgram(folder, 'freeze', log, freeze),
    hookProgram(folder, 'thaw', log, thaw),
  ];
  const settings = `freeze_command = ["${before}", "word"]\nthaw_command = ["${after}"]\n${more}`;
  const daemon = await daemonForTest({ settings });
  const mounted = mountedReflink('btrfs');
  const path = join(mounted, 'web.img');
  writeFileSync(path, noise(2 * MiB, 1));
  await daemon.addVolume('web', path);
  await holdOpen(path, '<>');
  const calls = (): Call[] =>
    readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Call);
  return { daemon, calls, folder, path };
}

async function backUp(daemon: Daemon, volume = 'web') {
  const started = await daemon.call('backup.create', { volume, force: true });
  await daemon.done(started);
  return daemon.call('backup.show', { backup: started.backup.id });
}

test('hooks: freeze, snapshot, thaw make an application-consistent backup, and the record tells of each', async () => {
  const { daemon, calls } = await world('test "$1" = word', 'exit 0');
  const backup = await backUp(daemon);
  expect(backup.consistency).toMatch(/^application-consistent: read from a temporary snapshot/);
  expect(backup.consistency_evidence).toMatchObject({
    read_from: 'temporary-snapshot',
    hooks: [
      { hook: 'freeze', exit_status: 0, timed_out: false, milliseconds: expect.any(Number) as number },
      { hook: 'thaw', exit_status: 0, timed_out: false },
    ],
  });
  const { id: volume_id } = await daemon.call('volume.show', { volume: 'web' });
  const subject = { volume_id, volume_name: 'web', backup_id: backup.id, snapshot_id: null };
  expect(calls()).toMatchObject([
    { hook: 'freeze', ...subject },
    { hook: 'thaw', ...subject },
  ]);
  // The evidence is part of the manifest.
  await daemon.done(daemon.call('catalog.rebuild', {}));
  const { consistency_evidence } = await daemon.call('backup.show', { backup: backup.id });
  expect(consistency_evidence).toEqual(backup.consistency_evidence);
  // A snapshot that is kept tells of them, too, and so does what is backed up from it.
  const made = await daemon.call('snapshot.create', { volume: 'web', name: 's' });
  expect(calls().at(-1)).toMatchObject({ hook: 'thaw', snapshot_id: made.id, backup_id: null });
  const started = await daemon.call('backup.create', { volume: 'web', snapshot: 's' });
  await daemon.done(started);
  expect((await daemon.call('backup.show', { backup: started.backup.id })).consistency).toMatch(
    /^application-consistent: read from snapshot "s"/,
  );
  expect(calls()).toHaveLength(4);
});

test('hooks: a freeze that fails is thawed all the same, and the backup is crash-consistent', async () => {
  const { daemon, calls } = await world('exit 3', 'exit 0');
  const backup = await backUp(daemon);
  expect(backup.consistency).toMatch(/^crash-consistent: read from a temporary snapshot/);
  expect(backup.consistency_evidence?.hooks).toMatchObject([
    { hook: 'freeze', exit_status: 3 },
    { hook: 'thaw', exit_status: 0 },
  ]);
  expect(calls().map(({ hook }) => hook)).toEqual(['freeze', 'thaw']);
});

test('hooks: a freeze beyond its time limit is ended with all that it started, and thawed', async () => {
  const { daemon, calls, folder } = await world(
    '(sleep 3; touch "$0.late") & wait',
    'exit 0',
    'hook_timeout = 1\n',
  );
  const backup = await backUp(daemon);
  expect(backup.consistency).toMatch(/^crash-consistent/);
  const [freeze, thaw] = backup.consistency_evidence?.hooks ?? [];
  expect(freeze).toMatchObject({ hook: 'freeze', exit_status: null, timed_out: true });
  expect(freeze?.milliseconds).toBeGreaterThanOrEqual(1000);
  expect(freeze?.milliseconds).toBeLessThan(3000);
  expect(thaw).toMatchObject({ exit_status: 0, timed_out: false });
  expect(calls().map(({ hook }) => hook)).toEqual(['freeze', 'thaw']);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  expect(existsSync(join(folder, 'freeze.late'))).toBe(false);
});

test('hooks: a backup that is cancelled while the application is frozen thaws it', async () => {
  const { daemon, calls } = await world('exec sleep 30', 'exit 0');
  const { job_id } = await daemon.call('backup.create', { volume: 'web', force: true });
  await eventually('it is frozen', () => calls().length === 1);
  await daemon.call('job.cancel', { job: job_id });
  await eventually('it is thawed', () => calls().length === 2, 10_000);
  expect(calls()[1]).toMatchObject({ hook: 'thaw' });
});

test('hooks: what a daemon that was killed had frozen is thawed by the next', async () => {
  const { daemon, calls } = await world('exec sleep 30', 'exit 0');
  await daemon.call('backup.create', { volume: 'web', force: true });
  await eventually('it is frozen', () => calls().length === 1);
  await daemon.kill();
  const already = calls().length;
  await daemon.start();
  expect(already).toBe(1);
  expect(calls()[1]).toMatchObject({ hook: 'thaw', volume_name: 'web' });
  expect(daemon.log).toContain('was being frozen when the daemon was stopped');
});

test('hooks: where no snapshot can be made they do not run, as they would hold the application for too long', async () => {
  const { daemon, calls } = await world('exit 0', 'exit 0');
  // A file system in memory shares no bytes between files.
  const folder = mkdtempSync('/dev/shm/basalt-hooks-');
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'bare.img');
  writeFileSync(path, noise(MiB, 1));
  await daemon.addVolume('bare', path);
  await holdOpen(path, '<>');
  expect(await backUp(daemon, 'bare')).toMatchObject({
    consistency: expect.stringMatching(/^crash-consistent: read while it was in use/) as string,
    consistency_evidence: {
      read_from: 'source',
      hooks: [],
      no_snapshot: 'its file system cannot share bytes between files',
    },
  });
  // A source that nobody uses is read as it is.
  const idle = join(mountedReflink('btrfs'), 'idle.img');
  writeFileSync(idle, noise(MiB, 2));
  await daemon.addVolume('idle', idle);
  expect(await backUp(daemon, 'idle')).toMatchObject({ consistency: 'clean' });
  expect(calls()).toEqual([]);
});

test('hooks: a program that is not there is told in the evidence', async () => {
  const settings = 'freeze_command = ["/nowhere/freeze"]\nthaw_command = ["/nowhere/thaw"]\n';
  const daemon = await daemonForTest({ settings });
  const path = join(mountedReflink('btrfs'), 'web.img');
  writeFileSync(path, noise(MiB, 1));
  await daemon.addVolume('web', path);
  const made = await daemon.call('snapshot.create', { volume: 'web' });
  expect(made.consistency_evidence?.hooks).toMatchObject([{ exit_status: 127 }, { exit_status: 127 }]);
  expect(await codeOfCall(daemon.call('snapshot.remove', { snapshot: made.id }))).toBe('it succeeded');
});
