/** Targets on real files, loop devices and mounts: what is refused before a byte is written, and what new files promise. */

import { spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { MiB, TiB } from '../../daemon/base/bytes.ts';
import type { OpenTargetOptions } from '../../daemon/devices/device.ts';
import { targetWriteFault } from '../../daemon/devices/faults.ts';
import { openTarget } from '../../daemon/devices/target.ts';
import { native } from '../../native/native.ts';
import {
  codeOf,
  emptyLoop,
  faultOf,
  folderForTest,
  holdOpen,
  loopOver,
  mountAt,
  mountedExt4,
  partitionOn,
  pattern,
  run,
  sparseFile,
  writeFully,
} from '../support/devices.ts';

const open = (url: string, options: Partial<OpenTargetOptions> = {}) =>
  openTarget({ native }, url, { sizeBytes: MiB, force: true, ...options });

test('a new file has no name until it is committed, and is whole and private then', async () => {
  const folder = folderForTest();
  const path = join(folder, 'new disk.img');
  const told: { path: string; existed: boolean }[] = [];
  const onTemporary = (temporary: string) => {
    told.push({ path: temporary, existed: existsSync(temporary) });
    return Promise.resolve();
  };
  const target = await open(path, { force: false, onTemporary });
  expect(target).toMatchObject({ url: `file://${path}`, sizeBytes: MiB, blank: true });
  expect(told).toMatchObject([{ existed: false }]);
  expect(dirname(told[0]?.path ?? '')).toBe(folder);
  expect(told[0]?.path).toMatch(/\/\.new disk\.img\.basalt-[0-9a-f]+\.partial$/);
  expect(readdirSync(folder).map((name) => join(folder, name))).toEqual([told[0]?.path]);
  writeFully(target.fd, pattern(100), 5000);
  await target.commit();
  expect(readdirSync(folder)).toEqual(['new disk.img']);
  expect(statSync(path)).toMatchObject({ size: MiB, mode: 0o100600, nlink: 1 });
  expect(readFileSync(path).subarray(5000, 5100).equals(pattern(100))).toBe(true);
});

test('a new file that is given up leaves nothing, and its name is free again', async () => {
  const folder = folderForTest();
  const target = await open(join(folder, 'new'), { sizeBytes: TiB });
  expect(await codeOf(open(join(folder, 'new')))).toBe('TARGET_BUSY');
  await target.abort();
  await target.abort();
  expect(readdirSync(folder)).toEqual([]);
  await (await open(join(folder, 'new'))).abort();
});

test('a new file never takes the place of one that somebody made meanwhile', async () => {
  const folder = folderForTest();
  const path = join(folder, 'new');
  const target = await open(path);
  writeFileSync(path, 'mine');
  expect(await codeOf(target.commit())).toBe('TARGET_EXISTS');
  await target.abort();
  expect(readFileSync(path, 'utf8')).toBe('mine');
  expect(readdirSync(folder)).toEqual(['new']);
});

test('a failure while the temporary name is told makes no file', async () => {
  const folder = folderForTest();
  const onTemporary = () => Promise.reject(new Error('no journal'));
  await expect(open(join(folder, 'new'), { onTemporary })).rejects.toThrow('no journal');
  expect(readdirSync(folder)).toEqual([]);
});

test('a target where no file can be is TARGET_UNUSABLE', async () => {
  const folder = folderForTest();
  const file = sparseFile(MiB, folder);
  mkdirSync(join(folder, 'inner'));
  symlinkSync('nowhere', join(folder, 'dangling'));
  run('mkfifo', join(folder, 'pipe'));
  const names = ['inner', 'inner/', 'new/', 'missing/new', 'disk.img/new', 'dangling', 'pipe'];
  const urls = names.map((name) => join(folder, '/') + name);
  const others = ['/dev/null', '/dev/basalt-none', 'block:///dev/basalt-none', `block://${file}`];
  for (const url of [...urls, ...others]) {
    expect([url, await codeOf(open(url))]).toEqual([url, 'TARGET_UNUSABLE']);
  }
  expect(existsSync('/dev/basalt-none')).toBe(false);
  expect(readdirSync(folder).sort()).toEqual(['dangling', 'disk.img', 'inner', 'pipe']);
});

test('a file without any permission to write, an immutable one, and a read-only file system are TARGET_READ_ONLY', async () => {
  const { folder } = mountedExt4();
  const guarded = sparseFile(MiB, folder, 'guarded');
  chmodSync(guarded, 0o444);
  const immutable = sparseFile(MiB, folder, 'immutable');
  run('chattr', '+i', immutable);
  expect(await codeOf(open(guarded))).toBe('TARGET_READ_ONLY');
  expect(await codeOf(open(immutable))).toBe('TARGET_READ_ONLY');
  const plain = sparseFile(MiB, folder, 'plain');
  run('mount', '-o', 'remount,ro', folder);
  expect(await codeOf(open(plain))).toBe('TARGET_READ_ONLY');
  expect(await codeOf(open(join(folder, 'new')))).toBe('TARGET_READ_ONLY');
});

test('a read-only device is TARGET_READ_ONLY, and one with nothing attached TARGET_UNUSABLE', async () => {
  expect(await codeOf(open(loopOver(sparseFile(MiB), '--read-only')))).toBe('TARGET_READ_ONLY');
  expect(await codeOf(open(emptyLoop()))).toBe('TARGET_UNUSABLE');
});

test('a file that is used by somebody is TARGET_BUSY even with force, and is not touched', async () => {
  const written = sparseFile(MiB);
  const writer = await holdOpen(written, '>>');
  const fault = await faultOf(open(written));
  expect(fault.code).toBe('TARGET_BUSY');
  expect(fault.message).toContain(`open for writing by process ${writer.pid} "sh"`);
  const attached = sparseFile(MiB);
  const device = loopOver(attached, '--read-only');
  expect((await faultOf(open(attached))).message).toContain(`attached to "${device}"`);
  const twin = join(folderForTest(), 'twin');
  linkSync(written, twin);
  expect(await codeOf(open(twin))).toBe('TARGET_BUSY');
  expect(statSync(written).blocks).toBe(0);
});

test('a file that another process has locked is TARGET_BUSY', async () => {
  const path = sparseFile(MiB);
  const child = spawn('flock', [path, 'sh', '-c', 'echo ready; read -r line'], { stdio: 'pipe' });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  expect((await faultOf(open(path))).message).toContain('locked by another process');
  child.stdin.end();
  await gone;
  await (await open(path)).abort();
});

test('a device that is mounted, or swapped to, or under a mounted partition, is TARGET_BUSY even with force', async () => {
  const { image, device, folder } = mountedExt4();
  expect((await faultOf(open(device))).message).toContain(`mounted at "${folder}"`);
  expect(await codeOf(open(image))).toBe('TARGET_BUSY');
  const swap = loopOver(sparseFile(4 * MiB));
  run('mkswap', swap);
  run('swapon', swap);
  onTestFinished(() => void run('swapoff', swap));
  expect((await faultOf(open(swap))).message).toContain('used as swap');
  const disk = loopOver(sparseFile(32 * MiB));
  const partition = partitionOn(disk);
  run('mkfs.ext4', '-q', '-F', partition);
  const inner = mountAt(partition);
  expect((await faultOf(open(disk))).message).toContain(`"${partition}" is mounted at "${inner}"`);
});

test('a device that another process writes to without claiming it is TARGET_BUSY', async () => {
  const device = loopOver(sparseFile(MiB));
  await holdOpen(device, '<>');
  expect(await codeOf(open(device))).toBe('TARGET_BUSY');
});

test('while a device is restored to, nobody else can mount it', async () => {
  const image = sparseFile(32 * MiB);
  run('mkfs.ext4', '-q', '-F', image);
  const device = loopOver(image);
  const target = await open(device);
  expect(() => run('mount', device, folderForTest())).toThrow('already mounted');
  await target.commit();
  mountAt(device);
});

test('an existing file keeps its size and its name, whatever the backup needs', async () => {
  const path = sparseFile(2 * MiB);
  const before = statSync(path);
  const target = await open(path);
  writeFully(target.fd, pattern(10), 0);
  await target.commit();
  expect(statSync(path)).toMatchObject({ size: 2 * MiB, ino: before.ino, mode: before.mode });
});

test('no space left where the target is, is TARGET_FULL', async () => {
  const { folder } = mountedExt4();
  const target = await open(join(folder, 'new'), { sizeBytes: 64 * MiB });
  const fill = (): unknown => {
    try {
      for (let place = 0; place < 64 * MiB; place += MiB) writeFully(target.fd, pattern(MiB), place);
      return undefined;
    } catch (thrown) {
      return thrown;
    }
  };
  expect(targetWriteFault(target.url, fill()).code).toBe('TARGET_FULL');
  await target.abort();
});

test('a device that fails to keep what was written is TARGET_WRITE_FAILED at the latest when it is committed', async () => {
  const { folder } = mountedExt4();
  const target = await open(loopOver(sparseFile(64 * MiB, folder)));
  for (let place = 0; place < 64 * MiB; place += MiB) writeFully(target.fd, pattern(MiB), place);
  expect(await codeOf(target.commit())).toBe('TARGET_WRITE_FAILED');
  await target.abort();
});

test('a range of a file on a file system without holes is zeroed by writing', async () => {
  const folder = folderForTest();
  run('mount', '-t', 'ramfs', 'none', folder);
  onTestFinished(() => void run('umount', '--lazy', folder));
  const path = join(folder, 'disk.img');
  const bytes = pattern(3 * MiB);
  writeFileSync(path, bytes);
  const fd = openSync(path, 'r+');
  expect(await native.zeroRange(fd, 77, 2 * MiB + 5)).toBe('written');
  bytes.fill(0, 77, 77 + 2 * MiB + 5);
  expect(readFileSync(path).equals(bytes)).toBe(true);
  closeSync(fd);
});

test('a range of a file on ext4 becomes a hole', async () => {
  const { folder } = mountedExt4();
  const path = join(folder, 'disk.img');
  writeFileSync(path, pattern(MiB));
  const fd = openSync(path, 'r+');
  expect(await native.zeroRange(fd, 0, MiB)).toBe('punched');
  await native.sync(fd);
  closeSync(fd);
  expect(statSync(path)).toMatchObject({ size: MiB, blocks: 0 });
});
