/** File systems inside images of the view, mounted by the kernel through FUSE and a loop device. */

import { chownSync, renameSync, symlinkSync } from 'node:fs';
import { type FileHandle, mkdir, mkdtemp, open, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { MiB } from '../../daemon/base/bytes.ts';
import { mountedAt } from '../../daemon/base/mount-table.ts';
import {
  type FileSystemMount,
  mountFileSystem,
  unmountFileSystem,
} from '../../daemon/view/file-system-mount.ts';
import { backingFile, findLoops } from '../../daemon/view/loop-devices.ts';
import type { View } from '../../daemon/view/view.ts';
import { type FileSystemKind, makeDisk, makeFileSystem, makeFiles, run } from '../support/disk-images.ts';
import { FakeSource, fakeBackup, fileImage, openFakeView } from '../support/view-source.ts';

const backupId = '1a2b3c4d-0000-4000-8000-000000000001';
let shared: string;
let files: string;
let folder: string;
let target: string;
let view: View | undefined;
let image: FileHandle | undefined;
let mounts: FileSystemMount[];

beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), 'basalt-images-'));
  files = join(shared, 'files');
  await mkdir(files);
  await makeFiles(files);
});

afterAll(() => rm(shared, { recursive: true }));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'basalt-mount-'));
  target = join(folder, 'target');
  await mkdir(target);
  mounts = [];
});

afterEach(async () => {
  for (const mount of mounts) await unmountFileSystem(mount, { lazy: false });
  const loops = await findLoops((path) => path.startsWith(join(folder, 'view')));
  await view?.close();
  await image?.close();
  view = undefined;
  image = undefined;
  await rm(folder, { recursive: true });
  expect(loops).toEqual([]);
});

async function show(path: string): Promise<string> {
  image = await open(path);
  const source = new FakeSource().add(fakeBackup(backupId, 'v', await fileImage(image)), 'disk');
  view = await openFakeView(join(folder, 'view'), source, 64);
  return view.imagePath(backupId);
}

async function mountAt(
  imagePath: string,
  partition: number | null = null,
  directory = target,
  ownerUid: number | null = null,
  onStep: () => void = () => undefined,
) {
  const steps: FileSystemMount[] = [];
  const mount = await mountFileSystem({
    imagePath,
    directory,
    partition,
    ownerUid,
    forbidden: [join(folder, 'view')],
    onStep: async (step) => {
      steps.push(step);
      onStep();
    },
  });
  mounts.push(mount);
  return { mount, steps };
}

async function faultOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise;
  } catch (thrown) {
    return thrown as { code: string; message: string };
  }
  return { code: 'none', message: '' };
}

async function ext4Image(): Promise<string> {
  const path = join(folder, 'ext4.img');
  await makeFileSystem('ext4', path, 64 * MiB, files);
  return path;
}

const sizes: Record<FileSystemKind, number> = { ext2: 64, ext3: 64, ext4: 64, xfs: 320, btrfs: 160 };

test.each(Object.entries(sizes) as [FileSystemKind, number][])(
  'the files of a backup with %s are the files that were backed up',
  async (kind, sizeMiB) => {
    const path = join(folder, `${kind}.img`);
    await makeFileSystem(kind, path, sizeMiB * MiB, files);
    const imagePath = await show(path);
    const { mount, steps } = await mountAt(imagePath);
    expect(await run('diff', '-r', '-x', 'lost+found', files, target)).toBe('');
    expect(mount).toMatchObject({ file_system: kind, directory: target, partition: null });
    expect(steps.map((step) => [step.loop_device !== null, step.file_system])).toEqual([
      [false, null],
      [true, null],
      [true, kind],
    ]);
    await expect(writeFile(join(target, 'new'), 'x')).rejects.toMatchObject({ code: 'EROFS' });
    await unmountFileSystem(mount, { lazy: false });
    expect(await mountedAt(target)).toBeUndefined();
    expect(await backingFile(mount.loop_device ?? '')).toBeUndefined();
    // Once more: there is nothing left to undo, and that is no fault.
    await unmountFileSystem(mount, { lazy: false });
  },
);

test('a copy of a btrfs that is mounted already is refused, or mounted from its own image', async () => {
  const path = join(folder, 'btrfs.img');
  await makeFileSystem('btrfs', path, 160 * MiB, files);
  const original = join(folder, 'original');
  await mkdir(original);
  await run('mount', '-o', 'loop', path, original);
  try {
    const imagePath = await show(path);
    const fault = await faultOf(mountAt(imagePath));
    if (fault.code === 'none') expect((await mountedAt(target))?.source).toBe(mounts[0]?.loop_device);
    else expect(fault.code).toBe('MOUNT_FAILED');
  } finally {
    for (const mount of mounts) await unmountFileSystem(mount, { lazy: false });
    await run('umount', original);
  }
});

test('of a disk with one known file system that one is mounted', async () => {
  const ext4 = await ext4Image();
  const blank = join(folder, 'blank');
  await writeFile(blank, '');
  const disk = join(folder, 'disk.img');
  await makeDisk(disk, [blank, ext4], 64);
  const { mount } = await mountAt(await show(disk));
  expect(mount.partition).toBe(2);
  expect(await run('diff', '-r', '-x', 'lost+found', files, target)).toBe('');
});

test('of a disk with several file systems the operator names one', async () => {
  const ext4 = await ext4Image();
  const disk = join(folder, 'disk.img');
  await makeDisk(disk, [ext4, ext4], 64);
  const imagePath = await show(disk);
  const unclear = await faultOf(mountAt(imagePath));
  expect(unclear.code).toBe('INVALID_ARGUMENT');
  expect(unclear.message).toContain('1 (67108864 bytes, ext4), 2 (67108864 bytes, ext4)');
  const missing = await faultOf(mountAt(imagePath, 3));
  expect(missing.code).toBe('INVALID_ARGUMENT');
  expect(missing.message).toContain('1 (67108864 bytes), 2 (67108864 bytes)');
  const { mount } = await mountAt(imagePath, 2);
  expect(mount.partition).toBe(2);
  expect(await run('diff', '-r', '-x', 'lost+found', files, target)).toBe('');
});

test('what is no file system that is known is refused before a device is made of it', async () => {
  const path = join(folder, 'swap.img');
  await writeFile(path, Buffer.alloc(1 * MiB));
  await run('mkswap', '-q', path);
  const imagePath = await show(path);
  let steps = 0;
  const made = mountAt(imagePath, null, target, null, () => {
    steps += 1;
  });
  expect((await faultOf(made)).code).toBe('FILESYSTEM_UNKNOWN');
  expect(steps).toBe(0);
  expect(await findLoops((file) => file === imagePath)).toEqual([]);
  expect((await faultOf(mountAt(imagePath, 1))).code).toBe('INVALID_ARGUMENT');
});

test('a file system that is cut off fails to mount and leaves nothing', async () => {
  const path = await ext4Image();
  await truncate(path, 32 * MiB);
  const imagePath = await show(path);
  expect((await faultOf(mountAt(imagePath))).code).toBe('MOUNT_FAILED');
  expect(await findLoops((loop) => loop === imagePath)).toEqual([]);
  expect(await mountedAt(target)).toBeUndefined();
});

test('a step that can not be recorded undoes the mount', async () => {
  const imagePath = await show(await ext4Image());
  const failing = (at: number) => {
    let step = 0;
    return mountFileSystem({
      imagePath,
      directory: target,
      partition: null,
      forbidden: [],
      ownerUid: null,
      onStep: async () => {
        if (step++ === at) throw new Error('the catalog is full');
      },
    });
  };
  for (const at of [0, 1, 2]) {
    await expect(failing(at)).rejects.toThrow('the catalog is full');
    expect(await mountedAt(target)).toBeUndefined();
    expect(await findLoops((loop) => loop === imagePath)).toEqual([]);
  }
});

test('a folder that can not be mounted on is refused', async () => {
  const imagePath = await show(await ext4Image());
  const { mount } = await mountAt(imagePath);
  const codes: string[] = [];
  const full = join(folder, 'full');
  await mkdir(full);
  await writeFile(join(full, 'file'), '');
  for (const directory of [
    'relative',
    target,
    full,
    join(full, 'file'),
    join(folder, 'missing'),
    join(folder, 'view', 'disk'),
  ]) {
    codes.push((await faultOf(mountAt(imagePath, null, directory))).code);
  }
  expect(codes).toEqual(Array.from({ length: 6 }, () => 'MOUNT_POINT_UNUSABLE'));
  const { message } = await faultOf(mountAt(imagePath, null, join(folder, 'missing')));
  expect(message).toBe(`Cannot mount at "${join(folder, 'missing')}": there is no such folder`);
  expect(await findLoops((loop) => loop === imagePath)).toEqual([mount.loop_device]);
});

test('a folder that is exchanged for a link while the mount is made is not mounted on, nor is what the link leads to', async () => {
  const imagePath = await show(await ext4Image());
  const elsewhere = join(folder, 'elsewhere');
  await mkdir(elsewhere);
  const steps: (() => void)[] = [];
  steps.push(
    () => undefined,
    // The loop device is there, and the mount comes next.
    () => {
      renameSync(target, `${target}.moved`);
      symlinkSync(elsewhere, target);
    },
  );
  const made = mountAt(imagePath, null, target, null, () => steps.shift()?.());
  expect(await faultOf(made)).toMatchObject({ code: 'MOUNT_POINT_UNUSABLE' });
  expect([await mountedAt(elsewhere), await mountedAt(`${target}.moved`)]).toEqual([undefined, undefined]);
});

test('who may mount at his own folders only has nothing mounted at those of others', async () => {
  const imagePath = await show(await ext4Image());
  chownSync(target, 70_001, 70_001);
  expect(await faultOf(mountAt(imagePath, null, target, 70_002))).toMatchObject({
    code: 'MOUNT_POINT_UNUSABLE',
    message: expect.stringContaining('does not belong'),
  });
  expect(await mountedAt(target)).toBe(undefined);
  await mountAt(imagePath, null, target, 70_001);
  expect(await mountedAt(target)).toMatchObject({ type: 'ext4' });
});

test('a mount in use is busy, and goes lazily when the daemon stops', async () => {
  const { mount } = await mountAt(await show(await ext4Image()));
  const held = await open(join(target, 'large'));
  expect((await faultOf(unmountFileSystem(mount, { lazy: false }))).code).toBe('MOUNT_BUSY');
  expect((await readdir(target)).length).toBeGreaterThan(0);
  await unmountFileSystem(mount, { lazy: true });
  expect(await mountedAt(target)).toBeUndefined();
  await held.close();
  await expect.poll(() => backingFile(mount.loop_device ?? ''), { timeout: 5000 }).toBeUndefined();
});

test('only the recorded image loses its loop device', async () => {
  const path = await ext4Image();
  const loop = await run('losetup', '-r', '-f', '--show', path);
  const stranger = {
    image_path: join(folder, 'view', 'disk', 'other', 'volume.img'),
    directory: target,
    partition: null,
    loop_device: loop,
    file_system: 'ext4',
  };
  await unmountFileSystem(stranger, { lazy: false });
  expect(await backingFile(loop)).toBe(path);
  await run('losetup', '-d', loop);
});
