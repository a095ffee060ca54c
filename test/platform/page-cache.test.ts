/** What a host has in memory stays there: backups and restores go past the page cache. */

import { mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mountedExt4, run } from '../support/devices.ts';
import { daemonForTest, expectRestores, MiB } from '../support/fault-world.ts';
import { packsIn } from '../support/packs.ts';
import { noise } from '../support/volume-model.ts';

/** Bytes of a file that the kernel has in memory. */
const cachedBytes = (path: string): number =>
  Number(run('fincore', '--bytes', '--noheadings', '--output', 'RES', path));

/** Gives the file's pages back. */
const forget = (path: string): void =>
  void run('dd', `if=${path}`, 'iflag=nocache', 'count=0', 'status=none');

/** The kernel may take single pages back at any time. */
const mostOf = (bytes: number): number => bytes * 0.9;

test('a backup brings nothing of its source into the page cache, and takes from it what is there', async () => {
  // A file system of its own: temporary files may be in memory altogether.
  const { folder } = mountedExt4(128 * MiB);
  const volume = join(folder, 'volume.img');
  const contents = noise(64 * MiB, 5);
  writeFileSync(volume, contents);
  // A last block that no direct read takes whole.
  truncateSync(volume, contents.length + 700);
  run('sync', volume);
  forget(volume);
  expect(cachedBytes(volume)).toBe(0);
  const daemon = await daemonForTest();
  await daemon.addVolume('v', volume);
  const { id } = await daemon.backUp('v');
  // What the look for a partition table reads, and the last piece, which is not whole: not more than a few pieces of reading ahead.
  expect(cachedBytes(volume)).toBeLessThan(8 * MiB);
  run('dd', `if=${volume}`, 'of=/dev/null', 'bs=1M', 'status=none');
  expect(cachedBytes(volume)).toBeGreaterThan(mostOf(contents.length));
  const again = await daemon.backUp('v', true);
  expect(cachedBytes(volume)).toBeGreaterThan(mostOf(contents.length));
  const expected = Buffer.concat([contents, Buffer.alloc(700)]);
  for (const backup of [id, again.id]) await expectRestores(daemon, backup, expected);
});

test('what a backup stores, and what a restore reads of it, goes past the page cache, but for the end of a pack', async () => {
  const { folder } = mountedExt4(192 * MiB);
  const volume = join(folder, 'volume.img');
  const contents = noise(72 * MiB, 6);
  writeFileSync(volume, contents);
  const repository = join(folder, 'repository');
  mkdirSync(repository);
  const daemon = await daemonForTest();
  await daemon.call('repository.add', { name: 'disk', url: `file://${repository}` });
  await daemon.call('repository.init', { name: 'disk' });
  await daemon.addVolume('v', volume);
  const started = await daemon.call('backup.create', { volume: 'v', repository: 'disk' });
  await daemon.done(Promise.resolve(started));
  const packs = packsIn(repository);
  const cached = () => packs.reduce((sum, path) => sum + cachedBytes(path), 0);
  const stored = packs.reduce((sum, path) => sum + statSync(path).size, 0);
  expect(stored).toBeGreaterThan(contents.length);
  // Of each pack the end that is not a whole page; what the kernel keeps of a name may bring its neighbours.
  const endsBytes = packs.length * 64 * 1024;
  expect(cached()).toBeLessThan(endsBytes);
  // Pages of the map are read again and again, and with what the kernel reads ahead of them.
  await expectRestores(daemon, started.backup.id, contents);
  expect(cached()).toBeLessThan(endsBytes + 2 * MiB);
});
