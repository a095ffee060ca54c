/** A volume of an array, from end to end through the daemon: both paths, one path, another volume behind the same number. */

import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { firstDifference, noise } from '../../support/volume-model.ts';
import { cut, restore } from '../support/links.ts';
import { ArrayVolume } from '../support/lio.ts';
import {
  bytesCome,
  daemonOfGuest,
  expectBytes,
  hostReady,
  MiB,
  remoteVolume,
  restoreOnArray,
  slowBackup,
  urlOf,
} from '../support/remote.ts';

test('a backup goes on when a path is cut, and what it holds is right', async () => {
  await hostReady();
  const { url, bytes } = remoteVolume({ sizeBytes: 24 * MiB });
  const daemon = await daemonOfGuest();
  await daemon.addVolume('v', url);
  const started = await slowBackup(daemon, 'v', 2 * MiB);
  const [device] = (await daemon.call('device.list', {})).devices;
  expect(device).toMatchObject({ status: 'attached', size_bytes: 24 * MiB, users: [{ kind: 'job' }] });
  expect(device?.paths.map(({ state }) => state)).toEqual(['active', 'active']);
  cut(0);
  await daemon.done(started);
  restore(0);
  expect((await daemon.call('device.list', {})).devices).toEqual([]);
  await expectBytes(daemon, started.backup, bytes);
});

test('a number that leads to another volume is refused, before a backup and in the middle of one', async () => {
  await hostReady();
  const { url, target, volume } = remoteVolume({ sizeBytes: 16 * MiB });
  const other = ArrayVolume.ofSize(16 * MiB);
  const daemon = await daemonOfGuest();
  await daemon.addVolume('v', url);
  target.remap(1, other);
  await daemon
    .call('backup.create', { volume: 'v' })
    .then((started) => daemon.failed(Promise.resolve(started), 'WRONG_DEVICE'))
    .catch((thrown: unknown) => expect(thrown).toMatchObject({ fault: { code: 'WRONG_DEVICE' } }));
  target.remap(1, volume);
  const started = await slowBackup(daemon, 'v', 1 * MiB);
  target.remap(1, other);
  await daemon.failed(Promise.resolve(started), 'WRONG_DEVICE');
  expect((await daemon.call('backup.list', { status: 'available' })).backups).toEqual([]);
  expect((await daemon.call('backup.show', { backup: started.backup.id })).status).toBe('error');
});

test('a number that leads to another volume in the middle of a restore: hardly anything goes there', async () => {
  await hostReady();
  const size = 24 * MiB;
  const { url, target } = remoteVolume({ sizeBytes: size });
  const [onto, other] = [ArrayVolume.ofSize(size), ArrayVolume.ofSize(size)];
  const foreign = noise(size, 9);
  writeFileSync(other.device, foreign, { flush: true });
  target.addLun(2, onto);
  const daemon = await daemonOfGuest();
  await daemon.addVolume('v', url);
  const { id } = await daemon.backUp('v');
  const rate = 2 * MiB;
  const order = { backup: id, target: urlOf(target, 2), force: true, rate };
  const started = daemon.call('backup.restore', order);
  const { job_id } = await started;
  await bytesCome(daemon, job_id, rate);
  target.remap(2, other);
  await daemon.failed(started, 'WRONG_DEVICE');
  const now = readFileSync(other.device);
  const sectors = Array.from({ length: size / 512 }, (_none, number) => number * 512);
  const gone = sectors.filter((at) => !now.subarray(at, at + 512).equals(foreign.subarray(at, at + 512)));
  // A look a second, and the segments that were under way.
  expect(gone.length * 512).toBeLessThan(3 * rate);
});

test('a restore onto a volume of an array, and the same bytes there afterwards', async () => {
  const { daemon, onto, bytes, order } = await restoreOnArray(16 * MiB);
  await daemon.done(daemon.call('backup.restore', order));
  expect(firstDifference(readFileSync(onto.device), bytes)).toBe(-1);
  expect((await daemon.call('device.list', {})).devices).toEqual([]);
});
