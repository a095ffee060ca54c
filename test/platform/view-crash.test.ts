/** What a daemon that ended badly leaves of the view, and how the next one gets rid of it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MiB } from '../../daemon/base/bytes.ts';
import { mountedAt } from '../../daemon/base/mount-table.ts';
import { detachLoopsBelow, mountFileSystem, unmountFileSystem } from '../../daemon/view/file-system-mount.ts';
import { backingFile, findLoops } from '../../daemon/view/loop-devices.ts';
import { prepareViewDirectory } from '../../daemon/view/stale-mounts.ts';
import { makeFileSystem, makeFiles, run } from '../support/disk-images.ts';
import { FakeSource, openFakeView } from '../support/view-source.ts';

const program = fileURLToPath(new URL('../support/serve-view.mjs', import.meta.url));

let folder: string;
let viewDirectory: string;
let target: string;
let child: ChildProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'basalt-crash-'));
  viewDirectory = join(folder, 'view');
  target = join(folder, 'target');
  await mkdir(target);
});

afterEach(async () => {
  await end('SIGKILL');
  const left = [await mountedAt(viewDirectory), await mountedAt(target)];
  const loops = await findLoops((path) => path.startsWith(folder));
  await rm(folder, { recursive: true });
  expect([...left, ...loops]).toEqual([undefined, undefined]);
});

async function serve(image: string): Promise<string> {
  child = spawn(process.execPath, [program, viewDirectory, image], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (child.stdout === null) throw new Error('no output');
  for await (const line of createInterface(child.stdout))
    return (JSON.parse(line) as { imagePath: string }).imagePath;
  throw new Error('the process that serves the view ended early');
}

async function end(signal: NodeJS.Signals): Promise<void> {
  const ending = child;
  child = undefined;
  if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
  const ended = once(ending, 'exit');
  ending.kill(signal);
  await ended;
}

async function ext4(): Promise<string> {
  const files = join(folder, 'files');
  await mkdir(files);
  await makeFiles(files);
  const image = join(folder, 'image');
  await makeFileSystem('ext4', image, 64 * MiB, files);
  return image;
}

test('after kill -9 with a file system mounted on it everything is cleaned up in order', async () => {
  const imagePath = await serve(await ext4());
  const mount = await mountFileSystem({
    imagePath,
    directory: target,
    partition: null,
    forbidden: [],
    ownerUid: null,
    onStep: async () => undefined,
  });
  const held = await open(imagePath);
  await end('SIGKILL');
  await expect(readdir(viewDirectory)).rejects.toMatchObject({ code: 'ENOTCONN' });
  await expect(readFile(join(target, 'large'))).rejects.toMatchObject({ code: 'EIO' });

  await unmountFileSystem(mount, { lazy: false });
  expect(await mountedAt(target)).toBeUndefined();
  expect(await backingFile(mount.loop_device ?? '')).toBeUndefined();
  expect(await prepareViewDirectory(viewDirectory)).toBe(viewDirectory);
  expect(await mountedAt(viewDirectory)).toBeUndefined();
  await held.close();
});

test('a loop device that was made but not recorded is given back', async () => {
  const imagePath = await serve(await ext4());
  const loop = await run('losetup', '-r', '-f', '--show', imagePath);
  await end('SIGKILL');
  await detachLoopsBelow(viewDirectory);
  expect(await backingFile(loop)).toBeUndefined();
  await prepareViewDirectory(viewDirectory);
});

test('a loop device is given back although the view was detached before it', async () => {
  const imagePath = await serve(await ext4());
  const mount = await mountFileSystem({
    imagePath,
    directory: target,
    partition: null,
    forbidden: [],
    ownerUid: null,
    onStep: async () => undefined,
  });
  await end('SIGKILL');
  await prepareViewDirectory(viewDirectory);
  await unmountFileSystem(mount, { lazy: false });
  expect(await backingFile(mount.loop_device ?? '')).toBeUndefined();
});

test('the next daemon mounts its view where a killed one had it', async () => {
  const image = await ext4();
  await serve(image);
  await end('SIGKILL');
  const view = await openFakeView(viewDirectory, new FakeSource());
  expect(await readdir(viewDirectory)).toEqual(['by-time']);
  await view.close();
});

test('a process that leaves without closing leaves no mount', async () => {
  await serve(await ext4());
  expect(await mountedAt(viewDirectory)).toMatchObject({ source: 'basalt', type: 'fuse.basalt' });
  await end('SIGUSR2');
  expect(await mountedAt(viewDirectory)).toBeUndefined();
});

test('a folder in use is not taken for the view', async () => {
  await mkdir(viewDirectory);
  await writeFile(join(viewDirectory, 'file'), '');
  await expect(prepareViewDirectory(viewDirectory)).rejects.toMatchObject({ code: 'MOUNT_POINT_UNUSABLE' });
  await rm(join(viewDirectory, 'file'));
  await run('mount', '-t', 'tmpfs', 'none', viewDirectory);
  await expect(prepareViewDirectory(viewDirectory)).rejects.toMatchObject({ code: 'MOUNT_POINT_UNUSABLE' });
  await run('umount', viewDirectory);
  await serve(await ext4());
  await expect(prepareViewDirectory(viewDirectory)).rejects.toMatchObject({ code: 'MOUNT_POINT_UNUSABLE' });
  await end('SIGUSR2');
});
