/** The reader of file systems beside the kernel's own: the same images, mounted by the one and read by the other. */

import { copyFileSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { folderForTest, run, sparseFile } from '../support/devices.ts';
import { differencesFromKernel, fillFolder, openReader } from '../support/reader-images.ts';

const MiB = 2 ** 20;

function mounted(image: string, ...options: string[]): string {
  const folder = folderForTest();
  run('mount', '-o', ['loop', ...options].join(','), image, folder);
  onTestFinished(() => void run('sh', '-c', 'mountpoint -q "$1" && umount -l "$1" || true', 'sh', folder));
  return folder;
}

async function readerOf(image: string) {
  const reader = await openReader(image);
  onTestFinished(() => reader.close());
  return reader;
}

test.each([
  ['ext4', []],
  ['ext4', ['-b', '1024', '-O', '^metadata_csum,^64bit,meta_bg,^resize_inode']],
  ['ext4', ['-I', '512', '-O', 'inline_data']],
  ['ext4', ['-O', 'bigalloc,ea_inode,metadata_csum_seed', '-C', '16384']],
  ['ext3', []],
  ['ext2', ['-I', '128', '-O', '^dir_index']],
  ['xfs', []],
  ['xfs', ['-b', 'size=1024', '-i', 'size=512', '-n', 'size=8192']],
] as const)('%s made with %j shows what the kernel shows', { timeout: 120_000 }, async (kind, options) => {
  const image = sparseFile(kind === 'xfs' ? 320 * MiB : 120 * MiB);
  run(`mkfs.${kind}`, '-q', kind === 'xfs' ? '-f' : '-F', '-L', 'label', ...options, image);
  const written = mounted(image);
  fillFolder(written);
  run('umount', written);
  const shown = mounted(image, 'ro');
  const reader = await readerOf(image);
  expect(reader.description).toMatchObject({ kind, label: 'label', notes: [] });
  expect(await differencesFromKernel(reader, shown)).toEqual([]);
});

test.each(['ext3', 'ext4'])(
  '%s that was in use shows what its journal has committed',
  { timeout: 60_000 },
  async (kind) => {
    const image = sparseFile(64 * MiB);
    run(`mkfs.${kind}`, '-q', '-F', image);
    const folder = mounted(image, 'data=journal');
    for (let file = 0; file < 300; file++)
      writeFileSync(`${folder}/file-${file % 90}`, `${file}`.repeat(file));
    run('sh', '-c', 'rm "$1"/file-1*; mkdir "$1"/made; sync -f "$1"', 'sh', folder);
    const taken = `${image}.taken`;
    copyFileSync(image, taken);
    const recovered = `${image}.recovered`;
    copyFileSync(image, recovered);
    const reader = await readerOf(taken);
    expect(reader.description.notes).toEqual([expect.stringContaining('journal')]);
    expect(await differencesFromKernel(reader, mounted(recovered))).toEqual([]);
  },
);

test('xfs that was in use says so', async () => {
  const image = sparseFile(320 * MiB);
  run('mkfs.xfs', '-q', '-f', image);
  expect((await readerOf(image)).description.notes).toEqual([]);
  const folder = mounted(image);
  writeFileSync(`${folder}/file`, 'content');
  run('sync', '-f', folder);
  const taken = `${image}.taken`;
  run('cp', '--sparse=always', image, taken);
  expect((await readerOf(taken)).description.notes).toEqual([expect.stringContaining('log was not empty')]);
  run('umount', folder);
  expect((await readerOf(image)).description.notes).toEqual([]);
});
