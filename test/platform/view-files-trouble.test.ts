/** The files inside a backup with users who may not see them, and in images that are damaged. */

import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readersMax } from '../../daemon/base/limits.ts';
import { wholeSight } from '../../daemon/view/folders.ts';
import { folderForTest, run, sparseFile } from '../support/devices.ts';
import { filled, MiB, readers, show, showImages, start } from '../support/files-view.ts';
import { expected } from '../support/view-source.ts';

const nobodyButRoot = ({ uid }: { readonly uid: number }) =>
  uid === 0 ? wholeSight : { key: 'nothing', sees: () => false };

/** What a command says that another user runs who was handed a folder. */
const handed = (path: string, ...words: string[]): Promise<string> =>
  start(
    'sh',
    ['-c', `cd "$0" && exec setpriv --reuid=70003 --regid=70003 --clear-groups -- "$@"`, path, ...words],
    {
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    },
  ).then(
    ({ stdout }) => stdout.trim(),
    (thrown: { stderr: string }) => thrown.stderr,
  );

test('who may not see a backup reads none of its files, wherever he stands and whatever the kernel knows', async () => {
  const image = filled('ext4', [], (at) => {
    mkdirSync(join(at, 'folder'));
    writeFileSync(join(at, 'folder', 'one'), 'content');
    run('setfattr', '-n', 'user.x', '-v', 'y', join(at, 'folder', 'one'));
  });
  const sights = { allowOther: true, sightOf: nobodyButRoot };
  const inside = join(await show(image, sights), 'files', 'folder');
  expect(await start('sh', ['-c', 'ls "$0" && cat "$0/one"', inside])).toMatchObject({
    stdout: 'one\ncontent',
  });
  for (const words of [
    ['ls', '.'],
    ['cat', 'one'],
    ['stat', 'not looked up yet'],
    ['getfattr', '-n', 'user.x', 'one'],
  ])
    expect(await handed(inside, ...words)).toMatch(/Permission denied/);
});

test('with callers as owners each user owns the files that he sees', async () => {
  const image = filled('ext4', [], (at) => {
    writeFileSync(join(at, 'one'), 'content', { mode: 0o600 });
    chownSync(join(at, 'one'), 1234, 5678);
  });
  const files = join(await show(image, { allowOther: true, callerOwnsAll: true }), 'files');
  expect(await start('stat', ['-c', '%u:%g %a', join(files, 'one')])).toMatchObject({ stdout: '0:0 600\n' });
  expect(await handed(files, 'stat', '-c', '%u:%g %a', 'one', '.')).toBe('70003:70003 600\n70003:70003 755');
  expect(await handed(files, 'cat', 'one')).toBe('content');
});

test.each([
  ['ext4', ['-O', '^metadata_csum,inline_data']],
  ['ext4', ['-b', '1024', '-O', '^extent,^64bit,^metadata_csum']],
] as const)(
  'bits that flipped in %s made with %j end neither the view nor who looks',
  { timeout: 120_000 },
  async (kind, options) => {
    const content = folderForTest();
    mkdirSync(join(content, 'a', 'b'), { recursive: true });
    for (let file = 0; file < 60; file++)
      writeFileSync(join(content, 'a', 'b', `file-${file}`), expected(file, 0, file * 700));
    const image = sparseFile(16 * MiB);
    run(`mkfs.${kind}`, '-q', '-F', ...options, '-d', content, image);
    const whole = readFileSync(image);
    const used = Array.from({ length: whole.length / 1024 }, (_, block) => block * 1024).filter((at) =>
      whole.subarray(at, at + 1024).some((byte) => byte !== 0),
    );
    let state = Number(process.env['BASALT_FUZZ_SEED'] ?? 11);
    const random = (limit: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    const rounds = Number(process.env['BASALT_FUZZ_ROUNDS'] ?? 12);
    const folder = folderForTest();
    const images: string[] = [];
    for (let round = 0; round < rounds; round++) {
      const bytes = Buffer.from(whole);
      for (let bit = 0; bit < ([1, 8, 60, 400][round % 4] ?? 1); bit++) {
        const at = (used[random(Math.min(used.length, 60))] ?? 0) + random(1024);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
      }
      const damaged = join(folder, `damaged-${round}`);
      writeFileSync(damaged, bytes);
      images.push(damaged);
    }
    const { volume } = await showImages(images);
    for (const name of await readdir(volume)) {
      const look =
        'find "$0" -ls; find "$0" -type f | head -100 | xargs -r -d "\\n" head -c 100000; getfattr -R -d -m - "$0"; true';
      // What it may take: a damaged folder may have many names.
      await start('timeout', [
        '-s',
        'KILL',
        '20',
        'sh',
        '-c',
        `exec >&- 2>&-; ${look}`,
        join(volume, name, 'files'),
      ]);
      expect((await stat(join(volume, name, 'volume.img'))).size).toBe(16 * MiB);
    }
    await expect.poll(() => readers().length, { timeout: 5000 }).toBeLessThanOrEqual(readersMax);
  },
);
