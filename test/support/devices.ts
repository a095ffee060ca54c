/** Real files, loop devices and mounts for tests; each is undone when its test has finished, in reverse order. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Fault, type FaultCode } from '../../daemon/base/faults.ts';
import type { Source } from '../../daemon/devices/device.ts';

export const run = (command: string, ...words: string[]): string =>
  execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();

export function folderForTest(): string {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-devices-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A sparse file of the size. */
export function sparseFile(sizeBytes: number, folder = folderForTest(), name = 'disk.img'): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, sizeBytes);
  return path;
}

/** Attaches a file to a free loop device and says its path. */
export function loopOver(path: string, ...options: string[]): string {
  const device = run('losetup', '--find', '--show', ...options, path);
  onTestFinished(() => void run('losetup', '--detach', device));
  return device;
}

/** A loop device that nothing is attached to; the last one, as those who look for a free one take the first. */
export function emptyLoop(): string {
  const free = [7, 6, 5, 4, 3, 2, 1, 0].find((number) => !existsSync(`/sys/block/loop${number}/loop`));
  if (free === undefined) throw new Error('no loop device is free');
  return `/dev/loop${free}`;
}

/** Gives a loop device one partition that begins at 1 MiB, and says its path. */
export function partitionOn(device: string): string {
  run('sh', '-c', 'echo start=2048 | sfdisk -q --no-reread --no-tell-kernel "$1"', 'sh', device);
  run('partx', '--add', device);
  onTestFinished(() => void run('partx', '--delete', device));
  return `${device}p1`;
}

export function mountAt(device: string, ...options: string[]): string {
  const folder = folderForTest();
  run('mount', ...options, device, folder);
  // Lazily, so that a test that failed with a file open leaves nothing behind all the same.
  onTestFinished(() => void run('umount', '--lazy', folder));
  return folder;
}

/** A mounted ext4 file system of its own, with the loop device and image under it. */
export function mountedExt4(sizeBytes = 32 * 2 ** 20): { image: string; device: string; folder: string } {
  const image = sparseFile(sizeBytes);
  run('mkfs.ext4', '-q', '-F', image);
  const device = loopOver(image);
  return { image, device, folder: mountAt(device) };
}

/** Another process that has `path` open as the shell's redirection `how` opens it, for as long as the test runs. */
export async function holdOpen(path: string, how: '<' | '<>' | '>>'): Promise<ChildProcess> {
  const child = spawn('sh', ['-c', `exec 3${how}"$1"; echo ready; read -r line`, 'sh', path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await new Promise((resolve, reject) => {
    child.stdout?.once('data', resolve);
    child.once('exit', () => reject(new Error('the process that holds the file has ended')));
  });
  return child;
}

/** The fault that the work fails with; a failure of any other kind, or none, fails the test. */
export async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const thrown: unknown = await work.then(
    () => new Error('it succeeded'),
    (thrown: unknown) => thrown,
  );
  if (thrown instanceof Fault) return thrown;
  throw thrown;
}

export const codeOf = async (work: Promise<unknown>): Promise<FaultCode> => (await faultOf(work)).code;

/** Bytes that differ from place to place, and are never zero. */
export const pattern = (length: number, seed = 1): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_none, place) => ((place * 31 + seed * 17) % 255) + 1));

export function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  if (writeSync(fd, bytes, 0, bytes.length, position) !== bytes.length) throw new Error('short write');
}

export function readFully(fd: number, length: number, position = 0): Buffer {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const step = readSync(fd, bytes, done, length - done, position + done);
    if (step === 0) throw new Error(`the end came at ${position + done}`);
    done += step;
  }
  return bytes;
}

/** The runs of a source, after a check that they cover it without gaps. */
export async function runsOf(source: Source): Promise<string[]> {
  const runs: string[] = [];
  let position = 0;
  for await (const extent of source.extents()) {
    if (extent.offset !== position || extent.length <= 0) throw new Error(`a gap at ${position}`);
    position += extent.length;
    runs.push(`${extent.data ? 'data' : 'hole'} ${extent.offset}+${extent.length}`);
  }
  if (position !== source.sizeBytes) throw new Error(`the runs end at ${position}`);
  return runs;
}

/** Nothing on the file system can be written until the answer is called, or the test ends. */
export function freeze(folder: string): () => void {
  let frozen = true;
  run('fsfreeze', '--freeze', folder);
  const thaw = () => {
    if (frozen) run('fsfreeze', '--unfreeze', folder);
    frozen = false;
  };
  onTestFinished(thaw);
  return thaw;
}
