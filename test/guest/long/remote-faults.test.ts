/** Arrays that fail while a daemon uses them: each fault has its code, comes in time, and leaves nothing behind. */

import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { RemoteFailure } from '../../../client/failure.ts';
import type { Daemon } from '../../support/daemon.ts';
import { firstDifference, noise } from '../../support/volume-model.ts';
import { bothLinks, cut, delay, restore } from '../support/links.ts';
import { ArrayVolume } from '../support/lio.ts';
import {
  bytesCome,
  daemonOfGuest,
  expectBytes,
  hostReady,
  MiB,
  remoteVolume,
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
  await hostReady();
  const { url, target, bytes } = remoteVolume({ sizeBytes: 16 * MiB });
  const onto = ArrayVolume.ofSize(16 * MiB);
  target.addLun(2, onto);
  const daemon = await daemonOfGuest();
  await daemon.addVolume('v', url);
  const { id } = await daemon.backUp('v');
  const order = { backup: id, target: urlOf(target, 2), force: true };
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
