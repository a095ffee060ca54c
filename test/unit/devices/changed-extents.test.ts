/** What a device says to have changed, on its way through a file: all of it, or a fault and no file. */

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import {
  type ChangedExtents,
  type ChangedRange,
  spooledUnless,
  spoolRanges,
} from '../../../daemon/devices/changed-extents.ts';
import { codeOf, folderForTest } from '../../support/devices.ts';

const ranges: readonly ChangedRange[] = Array.from({ length: 5000 }, (_, at) => ({
  offset: at * 4096,
  length: 512,
}));

async function* given(fault?: Error): AsyncIterable<ChangedRange> {
  yield* ranges;
  if (fault !== undefined) throw fault;
}

async function rangesOf(extents: ChangedExtents | string): Promise<ChangedRange[]> {
  if (typeof extents === 'string') throw new Error(extents);
  const all: ChangedRange[] = [];
  for await (const range of extents.ranges()) all.push(range);
  return all;
}

test('ranges come out of the file as they went in, and the file goes with them', async () => {
  const path = join(folderForTest(), 'hints', 'one');
  await spoolRanges(path, given());
  const extents = await spooledUnless(path, () => Promise.resolve(undefined));
  expect(await rangesOf(extents)).toEqual(ranges);
  if (typeof extents !== 'string') await extents.close();
  expect(existsSync(path)).toBe(false);
});

test('what is no answer, or is not known to be one, leaves no file', async () => {
  const path = join(folderForTest(), 'one');
  await spoolRanges(path, given());
  expect(await spooledUnless(path, () => Promise.resolve('it is gone'))).toBe('it is gone');
  expect(existsSync(path)).toBe(false);
  await spoolRanges(path, given());
  const failed = new Fault('DEVICE_FAILED', 'Cannot release the metadata');
  await expect(spooledUnless(path, () => Promise.reject(failed))).rejects.toBe(failed);
  expect(existsSync(path)).toBe(false);
});

test('a file that can not be written is a fault with a code, and one of the ranges is passed on', async () => {
  const folder = folderForTest();
  writeFileSync(join(folder, 'file'), '');
  expect(await codeOf(spoolRanges(join(folder, 'file', 'one'), given()))).toBe('STORAGE_FAILED');
  mkdirSync(join(folder, 'taken'));
  expect(await codeOf(spoolRanges(join(folder, 'taken'), given()))).toBe('STORAGE_FAILED');
  const odd = new Fault('TOOL_FAILED', 'odd');
  await expect(spoolRanges(join(folder, 'one'), given(odd))).rejects.toBe(odd);
  expect(existsSync(join(folder, 'one'))).toBe(false);
});
