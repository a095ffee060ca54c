/** Files out of backups without a mount: listed, copied, found, compared, as an operator does it. */

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runClient } from '../support/client.ts';
import type { Daemon } from '../support/daemon.ts';
import { daemonForTest, MiB, outsideFolder } from '../support/fault-world.ts';
import { expected } from '../support/view-source.ts';

const run = (program: string, ...words: string[]): string =>
  execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** An ext4 image with what is in `folder`. */
function makeImage(image: string, folder: string): void {
  writeFileSync(image, '');
  truncateSync(image, 64 * MiB);
  run('mkfs.ext4', '-q', '-F', '-d', folder, image);
}

/** Two points in time of one volume, and the folders that they were made from. */
async function twoPoints(): Promise<{ daemon: Daemon; before: string; after: string }> {
  const daemon = await daemonForTest();
  const [before, after] = [join(outsideFolder(), 'before'), join(outsideFolder(), 'after')];
  mkdirSync(join(before, 'etc', 'deep'), { recursive: true });
  writeFileSync(join(before, 'etc', 'hosts'), 'one');
  writeFileSync(join(before, 'etc', 'same'), expected(5, 0, 70_001));
  writeFileSync(join(before, 'etc', 'gone.conf'), 'gone');
  writeFileSync(join(before, 'large'), expected(6, 0, 3 * MiB + 5));
  writeFileSync(join(before, 'sparse'), 'begin');
  truncateSync(join(before, 'sparse'), 40 * MiB);
  symlinkSync('/etc/hosts', join(before, 'etc', 'deep', 'link'));
  run('cp', '-a', before, after);
  writeFileSync(join(after, 'etc', 'hosts'), 'two');
  rmSync(join(after, 'etc', 'gone.conf'));
  writeFileSync(join(after, 'etc', 'new.conf'), 'new');
  const image = join(daemon.folder, 'disk.img');
  makeImage(image, before);
  await daemon.addVolume('v', image);
  await daemon.done(daemon.call('backup.create', { volume: 'v', name: 'first' }));
  makeImage(image, after);
  await daemon.done(daemon.call('backup.create', { volume: 'v', name: 'second', incremental: true }));
  return { daemon, before, after };
}

test('files of two points in time are listed, copied, found and compared', { timeout: 60_000 }, async () => {
  const { daemon, before, after } = await twoPoints();
  const here = outsideFolder();
  const ctl = (...words: string[]) =>
    runClient(words, { env: { BASALT_SOCKET: daemon.socketPath }, cwd: here });
  const rows = async (...words: string[]) => {
    const { status, stdout, stderr } = await ctl(...words, '-f', 'json');
    expect([status, stderr.includes('Cannot')]).toEqual([0, false]);
    return JSON.parse(stdout) as Record<string, unknown>[];
  };

  const listed = await rows('file', 'list', 'first', '/etc');
  expect(listed.map(({ name, kind, size_bytes }) => [name, kind, size_bytes])).toEqual([
    ['deep', 'folder', expect.any(Number)],
    ['gone.conf', 'file', 4],
    ['hosts', 'file', 3],
    ['same', 'file', 70_001],
  ]);
  // A link leads where it would inside the backup, never out of it.
  expect((await ctl('file', 'get', 'first', '/etc/deep/link', '-o', '-')).stdout).toBe('one');

  expect(await ctl('file', 'get', 'first', '/large')).toMatchObject({ status: 0 });
  expect(readFileSync(join(here, 'large')).equals(readFileSync(join(before, 'large')))).toBe(true);
  expect(await ctl('file', 'get', 'first', '/large')).toMatchObject({ status: 73 });
  for (const [where, why] of [
    ['none/x', 'there is no such folder'],
    ['.', 'it is a folder'],
  ] as const) {
    const refused = await ctl('file', 'get', 'first', '/etc/hosts', '--force', '-o', where);
    expect(refused).toMatchObject({ status: 73, stdout: '' });
    expect(refused.stderr).toContain(`Cannot write "${where}": ${why}`);
  }
  expect(await ctl('file', 'get', 'first', '/sparse')).toMatchObject({ status: 0 });
  expect(readFileSync(join(here, 'sparse')).equals(readFileSync(join(before, 'sparse')))).toBe(true);
  expect(statSync(join(here, 'sparse')).blocks * 512).toBeLessThan(MiB);

  expect(await ctl('file', 'get', 'second', '/')).toMatchObject({ status: 0 });
  run('tar', '-C', here, '-xf', join(here, 'root.tar'));
  rmSync(join(here, 'root', 'lost+found'), { recursive: true });
  expect(run('diff', '-r', '--no-dereference', join(here, 'root'), after)).toBe('');

  const found = await rows('file', 'find', 'v', '*.conf');
  expect(found.map(({ path, backup }) => [path, backup])).toEqual([
    ['/etc/gone.conf', 'first'],
    ['/etc/new.conf', 'second'],
  ]);
  const states = async (path: string) => (await rows('file', 'history', 'v', path)).map(({ state }) => state);
  expect(await states('/etc/same')).toEqual(['new', 'same']);
  expect(await states('/etc/hosts')).toEqual(['new', 'changed: content']);
  expect(await states('/etc/gone.conf')).toEqual(['new', 'removed']);
  expect(await states('/etc/new.conf')).toEqual(['absent', 'new']);
  const differing = await rows('file', 'diff', 'first', 'second', '/etc');
  expect(differing.map(({ path, state }) => [path, state])).toEqual([
    ['/etc/gone.conf', 'removed'],
    ['/etc/hosts', 'changed: content'],
    ['/etc/new.conf', 'added'],
  ]);
  expect(
    run('findmnt', '-rn', '-o', 'TARGET')
      .split('\n')
      .filter((line) => line.startsWith(daemon.folder)),
  ).toEqual([daemon.viewDir]);
  expect(run('losetup', '-a')).not.toContain(daemon.folder);
});

test('a file of 1 TiB that is nearly all holes makes a small archive', { timeout: 60_000 }, async () => {
  const daemon = await daemonForTest();
  const [source, here] = [outsideFolder(), outsideFolder()];
  mkdirSync(join(source, 'd'));
  const places = [0, 4097, 2 ** 30 - 3, 2 ** 39, 2 ** 40 - 777];
  const files: Record<string, [sizeBytes: number, places: number[]]> = {
    ['tera']: [2 ** 40, places],
    ['empty at its end']: [2 ** 30 + 5, places.slice(0, 2)],
    ['nothing']: [2 ** 21, []],
    ['n'.repeat(200)]: [2 ** 20 + 1, [2 ** 19]],
  };
  for (const [name, [sizeBytes, pieces]] of Object.entries(files)) {
    writeFileSync(join(source, 'd', name), '');
    const file = openSync(join(source, 'd', name), 'r+');
    for (const place of pieces) writeSync(file, expected(9, 0, 777), 0, 777, place);
    ftruncateSync(file, sizeBytes);
    closeSync(file);
  }
  const image = join(daemon.folder, 'disk.img');
  makeImage(image, source);
  await daemon.addVolume('v', image);
  await daemon.done(daemon.call('backup.create', { volume: 'v', name: 'holes' }));
  const got = await runClient(['file', 'get', 'holes', '/d'], {
    env: { BASALT_SOCKET: daemon.socketPath },
    cwd: here,
  });
  expect(got.status).toBe(0);
  expect(statSync(join(here, 'd.tar')).size).toBeLessThan(MiB);
  run('tar', '-C', here, '-xf', join(here, 'd.tar'));
  for (const [name, [sizeBytes, pieces]] of Object.entries(files)) {
    const path = join(here, 'd', name);
    expect([name, statSync(path).size]).toEqual([name, sizeBytes]);
    expect(statSync(path).blocks * 512).toBeLessThan(MiB);
    const file = openSync(path, 'r');
    for (const place of pieces) {
      const bytes = Buffer.alloc(777);
      readSync(file, bytes, 0, 777, place);
      expect(bytes.equals(expected(9, 0, 777))).toBe(true);
    }
    closeSync(file);
  }
});

test('what is not there, no file system, and a deleted backup are said so', async () => {
  const daemon = await daemonForTest();
  const image = join(daemon.folder, 'disk.img');
  const folder = outsideFolder();
  writeFileSync(join(folder, 'file'), 'content');
  makeImage(image, folder);
  await daemon.addVolume('v', image);
  const { backup } = await daemon.call('backup.create', { volume: 'v', name: 'whole' });
  await daemon.done({ job_id: (await daemon.call('job.list', {})).jobs[0]?.id ?? '' });
  const code = async (path: string, more: { offset?: number; node?: number } = {}) => {
    const asked = daemon.call('file.read', { backup: backup.id, path, offset: 0, length: 10, ...more });
    return asked.then(
      ({ bytes }) => Buffer.from(bytes).toString(),
      (thrown: { fault?: { code: string } }) => thrown.fault?.code,
    );
  };
  expect(await code('/file')).toBe('content');
  expect(await code('/file', { offset: 2 ** 40 })).toBe('');
  expect(await code('/nothing')).toBe('FILE_UNKNOWN');
  expect(await code('/file/below')).toBe('FILE_UNKNOWN');
  expect(await code('/../../file')).toBe('content');
  expect(await code('/')).toBe('INVALID_ARGUMENT');
  expect(await code('/', { node: 2 ** 40 })).toBe('FILE_DAMAGED');

  const empty = join(daemon.folder, 'empty.img');
  writeFileSync(empty, Buffer.alloc(MiB, 7));
  await daemon.addVolume('w', empty);
  const other = await daemon.backUp('w');
  await expect(daemon.call('file.list', { backup: other.id })).rejects.toMatchObject({
    fault: { code: 'FILESYSTEM_UNKNOWN' },
  });
  await daemon.done(daemon.call('backup.delete', { backup: backup.id }));
  expect(await code('/file')).toBe('BACKUP_UNKNOWN');
});
