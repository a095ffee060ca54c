/** Files out of a disk as Windows divides one, FAT beside exFAT and NTFS: backed up by a real daemon, and got as an operator does. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { runClient } from '../support/client.ts';
import { folderForTest, loopOver, run, sparseFile } from '../support/devices.ts';
import { makeDisk } from '../support/disk-images.ts';
import { daemonForTest, MiB, outsideFolder } from '../support/fault-world.ts';
import { mountedNtfs } from '../support/ntfs-images.ts';
import { expected } from '../support/view-source.ts';

const kinds = ['vfat', 'exfat', 'ntfs'] as const;
type Kind = (typeof kinds)[number];

/** What is in every partition at the first point in time, and what became of it at the second. */
function contents(): readonly [before: string, after: string] {
  const [before, after] = [join(outsideFolder(), 'b'), join(outsideFolder(), 'a')];
  mkdirSync(join(before, 'Documents', 'Deep Folder'), { recursive: true });
  writeFileSync(join(before, 'Documents', 'same.txt'), expected(5, 0, 70_001));
  writeFileSync(join(before, 'Documents', 'changes.txt'), 'one');
  writeFileSync(join(before, 'Documents', 'goes.txt'), 'goes');
  writeFileSync(join(before, 'Documents', 'Deep Folder', 'größer.bin'), expected(6, 0, MiB + 5));
  run('cp', '-a', before, after);
  writeFileSync(join(after, 'Documents', 'changes.txt'), 'two, and longer');
  rmSync(join(after, 'Documents', 'goes.txt'));
  writeFileSync(join(after, 'Documents', 'comes.txt'), 'comes');
  return [before, after];
}

function imageWith(kind: Kind, folder: string): string {
  const image = sparseFile(24 * MiB);
  if (kind === 'vfat') {
    run('mkfs.fat', image);
    const env = { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8', MTOOLS_SKIP_CHECK: '1' };
    execFileSync('mcopy', ['-i', image, '-s', '-m', join(folder, 'Documents'), '::/'], { env });
    return image;
  }
  if (kind === 'ntfs') run('mkntfs', '-F', '-q', image);
  else run('mkfs.exfat', image);
  const mount = kind === 'ntfs' ? mountedNtfs(image) : folderForTest();
  if (kind === 'exfat') {
    run('mount.exfat-fuse', loopOver(image), mount);
    onTestFinished(() => void run('sh', '-c', 'mountpoint -q "$1" && umount -l "$1" || true', 'sh', mount));
  }
  run('cp', '-r', '--preserve=timestamps', join(folder, 'Documents'), mount);
  run('umount', mount);
  return image;
}

async function diskOf(folder: string): Promise<string> {
  const disk = join(outsideFolder(), 'disk.img');
  const partitions = kinds.map((kind) => imageWith(kind, folder));
  await makeDisk(disk, partitions, 24);
  return disk;
}

test('files of FAT, exFAT and NTFS are listed, got, found and compared', { timeout: 120_000 }, async () => {
  const daemon = await daemonForTest();
  const [before, after] = contents();
  const [first, second] = [await diskOf(before), await diskOf(after)];
  const image = join(daemon.folder, 'disk.img');
  run('cp', '--sparse=always', first, image);
  await daemon.addVolume('v', image);
  await daemon.done(daemon.call('backup.create', { volume: 'v', name: 'first' }));
  run('cp', '--sparse=always', second, image);
  await daemon.done(daemon.call('backup.create', { volume: 'v', name: 'second', incremental: true }));

  const here = outsideFolder();
  const ctl = (...words: string[]) =>
    runClient(words, { env: { BASALT_SOCKET: daemon.socketPath }, cwd: here });
  const unclear = await ctl('file', 'list', 'first', '/');
  expect(unclear.status).not.toBe(0);
  expect(unclear.stderr).toMatch(/1 \(\d+ bytes, vfat\), 2 \(\d+ bytes, exfat\), 3 \(\d+ bytes, ntfs\)/);

  const { id } = await daemon.call('backup.show', { backup: 'second' });
  const point = readdirSync(join(daemon.viewDir, 'v'))
    .map((name) => join(daemon.viewDir, 'v', name))
    .find((path) => run('getfattr', '--only-values', '-n', 'user.basalt.id', path) === id);
  if (point === undefined) throw new Error('the view does not show the backup');

  for (const [at, kind] of kinds.entries()) {
    const partition = ['--partition', String(at + 1)];
    const rows = async (...words: string[]) => {
      const { status, stdout } = await ctl('file', ...words, ...partition, '-f', 'json');
      expect([kind, words, status]).toEqual([kind, words, 0]);
      return JSON.parse(stdout) as Record<string, unknown>[];
    };
    const listed = await rows('list', 'first', '/Documents');
    expect(listed.map(({ name, kind: of, size_bytes, mode }) => [name, of, size_bytes, mode])).toEqual([
      ['Deep Folder', 'folder', expect.any(Number), '0755'],
      ['changes.txt', 'file', 3, '0755'],
      ['goes.txt', 'file', 4, '0755'],
      ['same.txt', 'file', 70_001, '0755'],
    ]);
    const found = await rows('find', 'v', '*.bin');
    expect(found.map(({ path, backup }) => [path, backup])).toEqual(
      ['first', 'second'].map((backup) => ['/Documents/Deep Folder/größer.bin', backup]),
    );
    const states = async (name: string) =>
      (await rows('history', 'v', `/Documents/${name}`)).map(({ state }) => state);
    expect(await states('changes.txt')).toEqual(['new', 'changed: content']);
    expect(await states('goes.txt')).toEqual(['new', 'removed']);
    expect(await states('comes.txt')).toEqual(['absent', 'new']);
    const differing = await rows('diff', 'first', 'second', '/');
    expect(
      differing.filter(({ state }) => state !== 'changed: time').map(({ path, state }) => [path, state]),
    ).toEqual([
      ['/Documents/changes.txt', 'changed: content'],
      ['/Documents/comes.txt', 'added'],
      ['/Documents/goes.txt', 'removed'],
    ]);
    const archive = `${kind}.tar`;
    expect(await ctl('file', 'get', 'second', '/Documents', '-o', archive, ...partition)).toMatchObject({
      status: 0,
    });
    run('tar', '-C', here, '-xf', join(here, archive));
    expect(run('diff', '-r', join(here, 'Documents'), join(after, 'Documents'))).toBe('');
    rmSync(join(here, 'Documents'), { recursive: true });
    // The same files where the view shows them; their bytes come from the image, without the reader.
    const shown = join(point, 'files', String(at + 1), 'Documents');
    expect(run('diff', '-r', shown, join(after, 'Documents'))).toBe('');
    expect(await ctl('file', 'get', 'first', '/Documents/same.txt', '-o', kind, ...partition)).toMatchObject({
      status: 0,
    });
    expect(readFileSync(join(here, kind)).equals(expected(5, 0, 70_001))).toBe(true);
  }
  expect(readdirSync(here).sort()).toEqual(['exfat', 'exfat.tar', 'ntfs', 'ntfs.tar', 'vfat', 'vfat.tar']);
});
