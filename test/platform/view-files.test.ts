/** The files inside a backup, as the mounted view and as the kernel's own mount of the same image shows them. */

import { execFileSync } from 'node:child_process';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readersMax } from '../../daemon/base/limits.ts';
import { folderForTest, run, sparseFile } from '../support/devices.ts';
import { codeOf, filled, MiB, mounted, readers, show, showImages, start } from '../support/files-view.ts';
import { fillFolder } from '../support/reader-images.ts';
import { projectRoot } from '../support/source-files.ts';
import { expected } from '../support/view-source.ts';

async function describeTree(path: string, ...without: string[]): Promise<string[]> {
  const words = [join(projectRoot, 'test/support/describe_tree.py'), path, ...without];
  const { stdout } = await start('/usr/bin/python3', words, { maxBuffer: 2 ** 28 });
  return stdout.split('\n');
}

const noteOf = async (path: string): Promise<string> =>
  (await start('getfattr', ['--only-values', '-n', 'user.basalt.note', path])).stdout;

test.each([
  ['ext4', []],
  ['ext4', ['-b', '1024', '-I', '256', '-O', 'inline_data']],
  ['xfs', []],
] as const)(
  'files of %s made with %j are what the kernel shows',
  { timeout: 60_000 },
  async (kind, options) => {
    const image = filled(kind, options, fillFolder);
    const backup = await show(image);
    const kernel = mounted(image, 'ro');
    const shown = await describeTree(join(backup, 'files'));
    expect(shown).toEqual(await describeTree(kernel));
    expect(shown.length).toBeGreaterThan(1500);
    expect(await codeOf(writeFile(join(backup, 'files', 'new'), ''))).toBe('EROFS');
    expect(await codeOf(stat(join(backup, 'files', 'not there')))).toBe('ENOENT');
  },
);

test('files of FAT and exFAT are what was copied there', async () => {
  const content = folderForTest();
  for (const size of [0, 1, 4096, 300_001])
    writeFileSync(join(content, `of ${size}`), expected(size % 89, 0, size));
  const fat = sparseFile(24 * MiB);
  run('mkfs.fat', '-F', '16', '-s', '1', fat);
  run('mcopy', '-i', fat, '-s', ...readdirSync(content).map((name) => join(content, name)), '::/');
  const files = join(await show(fat), 'files');
  await start('diff', ['-r', content, files]);
  expect(await stat(files)).toMatchObject({ mode: 0o040755, uid: 0 });
});

test('each partition has a folder of files, with a note where nothing can be read', async () => {
  const first = filled('ext4', [], (at) => writeFileSync(join(at, 'one'), 'first'));
  const second = sparseFile(4 * MiB);
  run('mkswap', '-q', second);
  const third = filled('ext4', ['-b', '1024'], (at) => writeFileSync(join(at, 'one'), 'third'));
  const disk = sparseFile(400 * MiB);
  // Numbers 1, 2, and 5 within an extended one.
  const table = ['label: dos', '2048,245760', '247808,8192', '256000,,5', '258048,245760', ''].join('\n');
  execFileSync('sfdisk', ['-q', disk], { input: table });
  for (const [image, sector] of [
    [first, 2048],
    [second, 247_808],
    [third, 258_048],
  ] as const)
    run('dd', `if=${image}`, `of=${disk}`, 'bs=512', `seek=${sector}`, 'conv=notrunc,sparse', 'status=none');
  const files = join(await show(disk), 'files');
  expect(await readdir(files)).toEqual(['1', '2', '5']);
  expect(await readFile(join(files, '1', 'one'), 'utf8')).toBe('first');
  expect(await readFile(join(files, '5', 'one'), 'utf8')).toBe('third');
  expect(await readdir(join(files, '2'))).toEqual([]);
  expect(await noteOf(join(files, '2'))).toContain('swap');
  expect(await codeOf(stat(join(files, '2', 'one')))).toBe('ENOENT');
  expect(await codeOf(stat(join(files, '3')))).toBe('ENOENT');
  const inodes = [1, 5].map((number) => statSync(join(files, String(number), 'one')).ino);
  expect(new Set(inodes).size).toBe(2);
});

test('what is no file system is an empty folder that says so, and so is one that is damaged', async () => {
  const nothing = join(await show(sparseFile(4 * MiB)), 'files');
  expect(await readdir(nothing)).toEqual([]);
  expect(await noteOf(nothing)).toContain('No file system is known');
  const image = sparseFile(24 * MiB);
  run('mkfs.ext4', '-q', '-F', image);
  // The size of blocks can't be.
  run('sh', '-c', 'printf "\\377" | dd of="$1" bs=1 seek=1048 conv=notrunc status=none', 'sh', image);
  const damaged = join(await show(image), 'files');
  expect(await codeOf(readdir(damaged))).toBe('EIO');
});

test('files are read in parallel, beside each other and at any place', { timeout: 60_000 }, async () => {
  const image = filled('ext4', [], (at) => {
    for (let file = 0; file < 12; file++)
      writeFileSync(join(at, `file ${file}`), expected(file, 0, 5 * MiB + file * 1001));
  });
  const files = join(await show(image), 'files');
  // By another process: one that waits for its own mount with all its threads can't serve it.
  const script = [
    'import concurrent.futures, os, sys',
    'def read(turn):',
    '    shown, real = (os.open(f"{folder}/file {turn % 12}", os.O_RDONLY) for folder in sys.argv[1:])',
    '    size = os.fstat(real).st_size',
    '    for step in range(12):',
    '        at = (turn * 7919 + step * 600011) % size',
    '        assert os.pread(shown, 200000, at) == os.pread(real, 200000, at), (turn, at)',
    'with concurrent.futures.ThreadPoolExecutor(48) as pool: list(pool.map(read, range(48)))',
  ].join('\n');
  await start('/usr/bin/python3', ['-c', script, files, mounted(image, 'ro')]);
});

test('a reader that is killed or hangs fails who waits for it, and nobody else', {
  timeout: 60_000,
}, async () => {
  const image = filled('ext4', [], (at) => {
    for (let file = 0; file < 50; file++) writeFileSync(join(at, `file ${file}`), `content ${file}`);
  });
  const backup = await show(image);
  const files = join(backup, 'files');
  expect(await readFile(join(files, 'file 1'), 'utf8')).toBe('content 1');
  const [first] = readers();
  if (first === undefined) throw new Error('no reader runs');
  process.kill(first, 'SIGSTOP');
  const hung = codeOf(stat(join(files, 'not asked for yet')));
  const before = process.hrtime.bigint();
  expect((await readdir(backup)).length).toBe(5);
  expect((await readFile(join(backup, 'manifest.json'))).length).toBeGreaterThan(0);
  expect((await stat(join(backup, 'volume.img'))).size).toBe(120 * MiB);
  expect(Number(process.hrtime.bigint() - before) / 1e9).toBeLessThan(2);
  process.kill(first, 'SIGKILL');
  expect(await hung).toBe('EIO');
  expect(await codeOf(stat(join(files, 'not there either')))).toBe('ENOENT');
  expect(await readFile(join(files, 'file 49'), 'utf8')).toBe('content 49');
  const [second] = readers();
  expect(second).not.toBe(first);
});

test('the files of a backup that is dropped are gone, and its reader with them', async () => {
  const image = filled('ext4', [], (at) => writeFileSync(join(at, 'one'), expected(1, 0, 3 * MiB)));
  const { view, source, backups, ids } = await showImages([image]);
  const files = join(backups[0] ?? '', 'files');
  const file = await open(join(files, 'one'));
  expect((await file.read(Buffer.alloc(512), 0, 512, 0)).bytesRead).toBe(512);
  source.backupsById.delete(ids[0] ?? '');
  view.dropBackup(ids[0] ?? '');
  expect(await codeOf(file.read(Buffer.alloc(512), 0, 512, 2 * MiB))).toBe('EIO');
  await file.close();
  await expect.poll(() => codeOf(stat(files)), { timeout: 5000 }).toBe('ENOENT');
  await expect.poll(readers, { timeout: 5000 }).toEqual([]);
});

test('few file systems are opened before anybody looks into them, and few at a time', {
  timeout: 60_000,
}, async () => {
  const image = filled('ext4', ['-b', '1024'], (at) => writeFileSync(join(at, 'one'), 'first'));
  const { volume: disk } = await showImages(Array.from({ length: 40 }, () => image));
  await start('find', [disk, '-maxdepth', '2', '-ls']);
  await expect.poll(() => readers().length, { timeout: 5000 }).toBeLessThanOrEqual(readersMax);
  // More than may be read at a time, all at once.
  const all = 'for name in "$1"/*; do cat "$name/files/one" & done; wait';
  const { stdout } = await start('sh', ['-c', all, 'sh', disk]);
  expect(stdout).toBe('first'.repeat(40));
  await expect.poll(() => readers().length, { timeout: 5000 }).toBeLessThanOrEqual(readersMax);
  const inodes = await start('sh', ['-c', 'stat -c %i "$1"/*/files/one', 'sh', disk]);
  expect(new Set(inodes.stdout.trim().split('\n')).size).toBe(40);
});
