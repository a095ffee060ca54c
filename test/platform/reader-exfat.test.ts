/** The reader of exFAT beside the driver in user space that wrote the image, which is no code of ours. */

import { execFileSync } from 'node:child_process';
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { folderForTest, loopOver, run, sparseFile } from '../support/devices.ts';
import { differencesFromFolder, fillForFat } from '../support/fat-images.ts';
import { openReader } from '../support/reader-images.ts';
import { expected } from '../support/view-source.ts';

const MiB = 2 ** 20;

function mounted(image: string): string {
  const folder = folderForTest();
  execFileSync('mount.exfat-fuse', [loopOver(image), folder], {
    stdio: 'ignore',
    env: { ...process.env, TZ: 'UTC' },
  });
  onTestFinished(() => void run('sh', '-c', 'mountpoint -q "$1" && umount -l "$1" || true', 'sh', folder));
  return folder;
}

test.each([
  [16 * MiB, ['-c', '512']],
  [64 * MiB, []],
  [300 * MiB, ['-c', '131072']],
] as const)(
  'exFAT of %i bytes made with %j shows what was written',
  { timeout: 60_000 },
  async (size, options) => {
    const image = sparseFile(size);
    run('mkfs.exfat', '-L', 'label', ...options, image);
    const written = mounted(image);
    fillForFat(written, 300);
    // For a day of the year 2107 this driver writes the day before; FAT, with the same form of dates, is tried on it.
    rmSync(`${written}/at 4354819198`);
    for (let file = 0; file < 60; file++) writeFileSync(`${written}/small${file}`, expected(file, 0, 9000));
    for (let file = 0; file < 60; file += 2) rmSync(`${written}/small${file}`);
    writeFileSync(`${written}/pieces 😀`, expected(7, 0, 700_001));
    writeFileSync(`${written}/longer`, 'abc');
    truncateSync(`${written}/longer`, 300_000);
    const content = folderForTest();
    run('cp', '-a', `${written}/.`, content);
    run('umount', written);
    const reader = await openReader(image);
    onTestFinished(() => reader.close());
    expect(reader.description).toMatchObject({ kind: 'exfat', label: 'label', notes: [] });
    expect(await differencesFromFolder(reader, content, 1)).toEqual([]);
  },
);
