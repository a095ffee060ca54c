/** Arrays that fail while a daemon uses them: each fault has its code, comes in time, and leaves nothing behind. */

import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { RemoteFailure } from '../../../client/failure.ts';
import { type Daemon, eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { firstDifference, noise } from '../../support/volume-model.ts';
import { bothLinks, cut, delay, restore, sanAddress } from '../support/links.ts';
import { portal } from '../support/lio.ts';
import {
  bytesCome,
  daemonOfGuest,
  expectBytes,
  hostReady,
  MiB,
  remoteVolume,
  restoreOnArray,
  slowBackup,
  stuckThreads,
  urlOf,
} from '../support/remote.ts';

/** The code that a backup of a volume ends with, whether it is refused at once or fails as a job. */
async function codeOfBackup(daemon: Daemon, volume: string): Promise<string> {
  try {
    const job = await daemon.ended((await daemon.call('backup.create', { volume })).job_id);
    return job.fault === null ? 'it succeeded' : job.fault.code;
  } catch (thrown) {
    if (thrown instanceof RemoteFailure) return thrown.fault.code;
    throw thrown;
  }
}

test('all paths lost: a fault in time, no thread stuck, and the next backup has what was read already', async () => {
  await hostReady();
  const { url, bytes } = remoteVolume({ sizeBytes: 24 * MiB });
  const daemon = await daemonOfGuest();
  await daemon.addVolume('v', url);
  const started = await slowBackup(daemon, 'v', 2 * MiB);
  const begun = performance.now();
  for (const link of bothLinks) cut(link);
  const job = await daemon.ended(started.job_id);
  expect(performance.now() - begun).toBeLessThan(120_000);
  expect(['SOURCE_READ_FAILED', 'DEVICE_FAILED']).toContain(job.fault?.code);
  expect(stuckThreads(daemon.pid)).toEqual([]);
  for (const link of bothLinks) restore(link);
  const again = await daemon.call('backup.create', { volume: 'v' });
  expect((await daemon.done(again)).result?.['known_bytes']).toBeGreaterThan(0);
  await expectBytes(daemon, again.backup, bytes);
});

test('all paths lost while it is written to: a fault in time, nothing stuck or left, and another restore makes it whole', async () => {
  const { daemon, onto, bytes, order } = await restoreOnArray(16 * MiB);
  const { job_id } = await daemon.call('backup.restore', { ...order, rate: 1 * MiB });
  await bytesCome(daemon, job_id);
  const begun = performance.now();
  for (const link of bothLinks) cut(link);
  const job = await daemon.ended(job_id);
  expect(performance.now() - begun).toBeLessThan(120_000);
  expect(['TARGET_WRITE_FAILED', 'DEVICE_FAILED']).toContain(job.fault?.code);
  expect(job.result?.['written_ranges']).not.toEqual([]);
  expect(stuckThreads(daemon.pid)).toEqual([]);
  expect((await daemon.call('device.list', {})).devices).toEqual([]);
  for (const link of bothLinks) restore(link);
  await daemon.done(daemon.call('backup.restore', { ...order, differential: true }));
  expect(firstDifference(readFileSync(onto.device), bytes)).toBe(-1);
});

/** Of multipathd: maps wait for their paths without end, where they have not been told otherwise. */
function queueing(): void {
  const file = '/etc/multipath.conf';
  const before = readFileSync(file, 'utf8');
  const load = (text: string) => {
    writeFileSync(file, text);
    run('multipathd', 'reconfigure');
  };
  onTestFinished(() => load(before));
  load(before.replace(/no_path_retry \d+/, 'no_path_retry queue'));
}

test('all paths of a map that queues are lost: the backup waits, and goes on when they are back', async () => {
  await hostReady();
  const { url, bytes } = remoteVolume({ sizeBytes: 16 * MiB });
  const daemon = await daemonOfGuest();
  await daemon.addVolume('v', url);
  queueing();
  await daemon.done(daemon.call('device.attach', { volume: 'v', access: 'read' }));
  const { map } = await daemon.call('device.show', { device: 'v' });
  // As somebody would who has other uses for it.
  run('multipathd', 'restorequeueing', 'map', map ?? '');
  const started = await slowBackup(daemon, 'v', 1 * MiB);
  for (const link of bothLinks) cut(link);
  const states = () => run('multipathd', 'show', 'paths', 'raw', 'format', '%t').split('\n');
  await eventually('all paths have failed', () => states().every((state) => state === 'failed'), 90_000);
  expect((await daemon.call('job.show', { job: started.job_id })).finished_at).toBeNull();
  for (const link of bothLinks) restore(link);
  await daemon.done(started);
  expect(stuckThreads(daemon.pid)).toEqual([]);
  await daemon.done(daemon.call('device.detach', { device: 'v' }));
  await expectBytes(daemon, started.backup, bytes);
});

test('a portal that takes the connection and says nothing is given up on, and costs the other one nothing', async () => {
  await hostReady();
  const { target, bytes } = remoteVolume({ sizeBytes: 8 * MiB });
  const silent = `${sanAddress(0)}:3261`;
  const script = `import socket, time
s = socket.create_server(("${sanAddress(0)}", 3261)); print("ready", flush=True); time.sleep(3600)`;
  const server = spawn('nsenter', ['--net=/run/netns/san', '--', '/usr/bin/python3', '-c', script]);
  onTestFinished(() => void server.kill('SIGKILL'));
  await new Promise((resolve) => server.stdout.once('data', resolve));
  const daemon = await daemonOfGuest();
  const add = (name: string, source: string) => daemon.call('volume.add', { name, source, attach: false });
  await add('silent', `iscsi://${silent}/${target.iqn}/1`);
  await add('half', `iscsi://${silent},${portal(1)}/${target.iqn}/1`);
  const begun = performance.now();
  expect(await codeOfBackup(daemon, 'silent')).toBe('ATTACH_FAILED');
  expect(performance.now() - begun).toBeLessThan(90_000);
  expect((await daemon.call('device.list', {})).devices).toEqual([]);
  await expectBytes(daemon, await daemon.backUp('half'), bytes);
});

test('a target that is down, a wrong password, a number that there is not', async () => {
  await hostReady();
  const chap = { user: 'backup', password: 'correct-horse-17' };
  const { target } = remoteVolume({ sizeBytes: 8 * MiB, chap });
  const daemon = await daemonOfGuest({ settings: 'num_volume_device_scan_tries = 2\n' });
  const add = (name: string, source: string) => daemon.call('volume.add', { name, source, attach: false });
  await add('wrong', urlOf(target, 1, '?user=backup&password=wrong-secret-1'));
  await add('none', urlOf(target, 9, `?user=backup&password=${chap.password}`));
  await add('right', urlOf(target, 1, `?user=backup&password=${chap.password}`));
  expect(await codeOfBackup(daemon, 'wrong')).toBe('ATTACH_DENIED');
  expect(await codeOfBackup(daemon, 'none')).toBe('ATTACH_FAILED');
  expect(await codeOfBackup(daemon, 'right')).toBe('it succeeded');
  target.disable();
  expect(await codeOfBackup(daemon, 'right')).toBe('ATTACH_FAILED');
  target.enable();
  expect(await codeOfBackup(daemon, 'right')).toBe('it succeeded');
  expect(daemon.log).not.toContain('correct-horse');
});

test('a slow array is waited for', async () => {
  await hostReady();
  const { url, bytes } = remoteVolume({ sizeBytes: 8 * MiB });
  const daemon = await daemonOfGuest();
  for (const link of bothLinks) delay(link, 200);
  await daemon.addVolume('v', url);
  await expectBytes(daemon, await daemon.backUp('v'), bytes);
});

test('a volume that has grown is seen by a rescan, and backed up as it is then', async () => {
  await hostReady();
  const { url, volume } = remoteVolume({ sizeBytes: 8 * MiB });
  const daemon = await daemonOfGuest();
  await daemon.addVolume('v', url);
  await daemon.done(daemon.call('device.attach', { volume: 'v', access: 'read' }));
  volume.grow(12 * MiB);
  const bytes = noise(12 * MiB, 7);
  writeFileSync(volume.device, bytes, { flush: true });
  await daemon.done(daemon.call('device.rescan', { device: 'v' }));
  expect((await daemon.call('device.show', { device: 'v' })).size_bytes).toBe(12 * MiB);
  await expectBytes(daemon, await daemon.backUp('v'), bytes);
  await daemon.done(daemon.call('device.detach', { device: 'v' }));
});

test('a volume that vanishes while it is written to fails the restore in time', async () => {
  const { daemon, target, onto, bytes, order } = await restoreOnArray(16 * MiB);
  const { job_id } = await daemon.call('backup.restore', { ...order, rate: 1 * MiB });
  await bytesCome(daemon, job_id);
  const begun = performance.now();
  target.removeLun(2);
  const job = await daemon.ended(job_id);
  expect(performance.now() - begun).toBeLessThan(120_000);
  expect(['TARGET_WRITE_FAILED', 'DEVICE_FAILED', 'WRONG_DEVICE']).toContain(job.fault?.code);
  target.addLun(2, onto);
  await daemon.done(daemon.call('backup.restore', order));
  expect(firstDifference(readFileSync(onto.device), bytes)).toBe(-1);
});
