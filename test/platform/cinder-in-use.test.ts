/** Uses of a source that hide from a plain look: each is found, named, and gone when it ends. */

import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../daemon/base/bytes.ts';
import { openSource } from '../../daemon/devices/source.ts';
import { native } from '../../native/native.ts';
import { eventually } from '../support/daemon.ts';
import {
  codeOf,
  folderForTest,
  holdOpen,
  loopOver,
  mountAt,
  partitionOn,
  run,
  sparseFile,
} from '../support/devices.ts';

async function usesOf(url: string): Promise<string> {
  const source = await openSource({ native }, url, { force: true });
  await source.close();
  return source.usedBy.join('; ');
}

test('in use: a file that a loop device of another mount namespace stands on', async () => {
  const folder = folderForTest();
  const image = sparseFile(MiB, folder);
  mkdirSync(join(folder, 'other'));
  // Where the device was attached the file had a name that leads nowhere from here.
  const script = 'mount --bind "$1" "$1/other" && losetup --find --show "$1/other/disk.img"';
  const device = run('unshare', '--mount', 'sh', '-c', script, 'sh', folder);
  onTestFinished(() => void run('losetup', '--detach', device));
  expect(await usesOf(image)).toBe(`attached to "${device}"`);
  expect(await codeOf(openSource({ native }, image, { force: false }))).toBe('SOURCE_BUSY');
});

test('in use: a loop device whose file a process writes to past the device', async () => {
  const image = sparseFile(MiB);
  const device = loopOver(image);
  expect(await usesOf(device)).toBe('');
  const child = await holdOpen(image, '<>');
  expect(await usesOf(device)).toBe(`on "${image}", which is open for writing by process ${child.pid} "sh"`);
  child.kill('SIGKILL');
  await eventually('it is free', async () => (await usesOf(device)) === '');
});

test('in use: a file that a process has mapped as shared memory, and closed', async () => {
  const image = sparseFile(MiB);
  const script = [
    'import ctypes, os, sys',
    'libc = ctypes.CDLL(None, use_errno=True)',
    'libc.mmap.restype = ctypes.c_void_p',
    'fd = os.open(sys.argv[1], os.O_RDWR)',
    'assert libc.mmap(None, 4096, 3, 1, fd, ctypes.c_long(0)) != ctypes.c_void_p(-1).value',
    'os.close(fd)',
    'print("mapped", flush=True)',
    'sys.stdin.read()',
  ].join('\n');
  const child = spawn('/usr/bin/python3', ['-c', script, image], { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await new Promise((resolve) => createInterface(child.stdout).once('line', resolve));
  expect(await usesOf(image)).toMatch(new RegExp(`^open for writing by process ${child.pid} "python3`));
  child.kill('SIGKILL');
  await eventually('it is free', async () => (await usesOf(image)) === '');
});

test('in use: an image whose loop device is swapped to, and one with a mounted partition', async () => {
  const swap = sparseFile(2 * MiB);
  run('mkswap', swap);
  const device = loopOver(swap);
  run('swapon', device);
  onTestFinished(() => void run('swapoff', device));
  expect(await usesOf(swap)).toBe(`attached to "${device}"; "${device}" is used as swap`);
  const disk = sparseFile(32 * MiB);
  const whole = loopOver(disk);
  const partition = partitionOn(whole);
  run('mkfs.ext4', '-q', '-F', partition);
  const folder = mountAt(partition);
  expect(await usesOf(disk)).toBe(`attached to "${whole}"; "${partition}" is mounted at "${folder}"`);
});

test('in use: a loop device that can only read does not stand in the way of a backup', async () => {
  const image = sparseFile(MiB);
  loopOver(image, '--read-only');
  expect(await usesOf(image)).toBe('');
});
