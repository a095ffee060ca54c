/** Logical volumes inside a backup, as LVM itself has laid them out. */

import { execFile, execFileSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import type { View } from '../../daemon/view/view.ts';
import { folderForTest, loopOver, run, sparseFile } from '../support/devices.ts';
import { fillVolume, lvm, makeVolume } from '../support/lvm-images.ts';
import { expected, FakeSource, fakeBackup, fileImage, openFakeView } from '../support/view-source.ts';

const start = promisify(execFile);
const MiB = 2 ** 20;
const backupId = '1a2b3c4d-0000-4000-8000-000000000001';

let folder: string;
let view: View | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'basalt-lvm-'));
});

afterEach(async () => {
  await view?.close();
  view = undefined;
  await rm(folder, { recursive: true });
});

async function show(imagePath: string): Promise<string> {
  const file = await open(imagePath);
  onTestFinished(() => file.close());
  const source = new FakeSource();
  source.add(fakeBackup(backupId, '99999999-0000-4000-8000-000000000001', await fileImage(file)), 'disk');
  view = await openFakeView(join(folder, 'view'), source);
  return dirname(view.imagePath(backupId));
}

/** A disk with two partitions of 64 MiB for physical volumes, and the loop devices over them. */
function diskWithTwo(): { disk: string; devices: string[] } {
  const disk = sparseFile(140 * MiB);
  execFileSync('sfdisk', ['-q', disk], { input: 'label: gpt\n2048,131072\n133120,131072\n' });
  const devices = [2048, 133_120].map((sector) =>
    loopOver(disk, '--offset', String(sector * 512), '--sizelimit', String(64 * MiB)),
  );
  lvm(devices, 'pvcreate', ...devices);
  return { disk, devices };
}

function fileSystem(sizeMiB: number, mark: string): string {
  const content = folderForTest();
  writeFileSync(join(content, 'mark'), mark);
  writeFileSync(join(content, 'large'), expected(mark.length, 0, 7 * MiB + 5));
  const image = sparseFile(sizeMiB * MiB);
  run('mkfs.ext4', '-q', '-F', '-b', '1024', '-d', content, image);
  return image;
}

test('linear and striped volumes are images, and have files', { timeout: 60_000 }, async () => {
  const { disk, devices } = diskWithTwo();
  lvm(devices, 'vgcreate', '-s', '1m', 'system', ...devices);
  makeVolume(devices, 'system', 'root', '-l', '10');
  makeVolume(devices, 'system', 'str.i-pes', '-l', '40', '-i', '2', '-I', '64k');
  // Goes on behind the other one, and on the second partition.
  lvm(devices, 'lvextend', '-l', '60', 'system/root');
  expect(lvm(devices, 'lvs', '--noheadings', '--segments', 'system/root').trim().split('\n').length).toBe(3);
  makeVolume(devices, 'system', 'empty', '-l', '1');
  const contents = { root: fileSystem(60, 'root'), 'str.i-pes': fileSystem(40, 'striped') };
  for (const [name, content] of Object.entries(contents)) fillVolume(devices, 'system', name, content);
  run('sync', disk);
  const backup = await show(disk);
  expect(await readdir(join(backup, 'lvm'))).toEqual(['system']);
  expect((await readdir(join(backup, 'lvm', 'system'))).sort()).toEqual([
    'empty.img',
    'root.img',
    'str.i-pes.img',
  ]);
  expect((await stat(join(backup, 'lvm', 'system', 'empty.img'))).size).toBe(1 * MiB);
  expect(await readdir(join(backup, 'files'))).toEqual(['1', '2', 'lvm']);
  expect(await readdir(join(backup, 'files', '1'))).toEqual([]);
  for (const [name, content] of Object.entries(contents)) {
    await start('cmp', [content, join(backup, 'lvm', 'system', `${name}.img`)]);
    const files = join(backup, 'files', 'lvm', 'system', name);
    const mark = name === 'root' ? 'root' : 'striped';
    expect(await readFile(join(files, 'mark'), 'utf8')).toBe(mark);
    expect((await readFile(join(files, 'large'))).equals(expected(mark.length, 0, 7 * MiB + 5))).toBe(true);
    const { files: listed } = (await view?.browse.list(
      { backupId, volume: `lvm/system/${name}`, path: '/' },
      0,
    )) ?? { files: [] };
    expect(listed.map((file) => file.name.toString()).sort()).toEqual(['large', 'lost+found', 'mark']);
  }
  const chosen = view?.browse.list({ backupId, volume: null, path: '/' }, 0);
  await expect(chosen).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await expect(chosen).rejects.toThrow(/logical volume system\/root/);
});

test('of a group on several disks that is there which lies on this one', { timeout: 60_000 }, async () => {
  const { disk, devices } = diskWithTwo();
  lvm(devices, 'vgcreate', '-s', '1m', 'part', ...devices);
  const [first = '', second = ''] = devices;
  for (const [name, on] of [
    ['here', first],
    ['away', second],
  ] as const)
    lvm(devices, 'lvcreate', '-an', '-Zn', '-Wn', '-y', '-n', name, '-l', '20', 'part', on);
  makeVolume(devices, 'part', 'both', '-l', '60');
  fillVolume(devices, 'part', 'here', fileSystem(20, 'here'));
  run('sync', disk);
  // Only the first partition: an image that is a physical volume itself.
  const alone = join(folder, 'alone.img');
  run('dd', `if=${disk}`, `of=${alone}`, 'bs=1M', 'skip=1', 'count=64', 'conv=sparse', 'status=none');
  truncateSync(alone, 64 * MiB);
  const backup = await show(alone);
  expect((await readdir(join(backup, 'lvm', 'part'))).sort()).toEqual(['both.img', 'here.img']);
  expect(await readFile(join(backup, 'files', 'lvm', 'part', 'here', 'mark'), 'utf8')).toBe('here');
  const { stdout } = await start('getfattr', [
    '--only-values',
    '-n',
    'user.basalt.note',
    join(backup, 'lvm'),
  ]);
  expect(stdout).toContain('"away" is not shown: it lies on other disks');
  expect(stdout).toContain('Parts of "both" lie on other disks');
  const both = await open(join(backup, 'lvm', 'part', 'both.img'));
  expect((await both.read(Buffer.alloc(4096), 0, 4096, 0)).bytesRead).toBe(4096);
  await expect(both.read(Buffer.alloc(4096), 0, 4096, 59 * MiB)).rejects.toMatchObject({ code: 'EIO' });
  await both.close();
  expect(readFileSync(alone).length).toBe(64 * MiB);
});
