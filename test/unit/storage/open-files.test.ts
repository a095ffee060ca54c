import { execFileSync } from 'node:child_process';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { OpenFiles } from '../../../daemon/storage/open-files.ts';
import { temporaryFolder } from '../../support/repository.ts';

let folder = '';
let files: OpenFiles;

beforeEach(async () => {
  folder = await temporaryFolder();
  files = new OpenFiles(folder);
});

afterEach(async () => {
  vi.restoreAllMocks();
  files.clear();
  await rm(folder, { recursive: true });
});

const pathOf = (number: number): string => join(folder, String(number));

async function firstByte(number: number): Promise<number> {
  const bytes = Buffer.alloc(1);
  await files.use(pathOf(number), async (file) => void (await file.read(bytes, 0, 1, 0)));
  return bytes.readUInt8();
}

test('a file that has to make room is not closed under a read that begins at the same moment', async () => {
  for (let number = 0; number < 70; number += 1) await writeFile(pathOf(number), Buffer.alloc(1, number));
  for (let round = 0; round < 10; round += 1) {
    for (let number = 0; number < 64; number += 1) await firstByte(number);
    // The first is new and makes room; the second is the one that has to go.
    expect(await Promise.all([firstByte(65), firstByte(0), firstByte(66), firstByte(1)])).toEqual([
      65, 0, 66, 1,
    ]);
  }
});

test('a file that was replaced is read anew', async () => {
  const start = performance.now();
  await writeFile(pathOf(1), 'a');
  expect(await firstByte(1)).toBe('a'.charCodeAt(0));
  await writeFile(pathOf(2), 'b');
  await rename(pathOf(2), pathOf(1));
  vi.spyOn(performance, 'now').mockReturnValue(start + 60_000);
  expect(await firstByte(1)).toBe('b'.charCodeAt(0));
});

test('a file that is not there fails each time, and is found when it comes', async () => {
  await expect(firstByte(1)).rejects.toThrow('ENOENT');
  await expect(Promise.all([firstByte(1), firstByte(1)])).rejects.toThrow('ENOENT');
  await writeFile(pathOf(1), 'a');
  expect(await firstByte(1)).toBe('a'.charCodeAt(0));
});

test('a pipe in the place of a file is an error, not a wait for who writes to it', async () => {
  execFileSync('mkfifo', [pathOf(1)]);
  await expect(firstByte(1)).rejects.toThrow('not a regular file');
});
