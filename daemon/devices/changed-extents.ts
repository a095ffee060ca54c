/** What is said to have changed since an earlier point in time, so that the rest of a source need not be read.
 *    caller ─pairs▶ checked ▶ spool file ─▶ ranges          device ─ranges▶ spool file ─▶ ranges
 *  Promises: ranges ascend, do not touch what is behind the end, and come in bounded memory, from the start at each call.
 *  They are hints: who uses them compares a sample. Knows nothing of backups. */

import { type FileHandle, mkdir, open, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { assert } from '../base/assert.ts';
import { errnoOf, Fault } from '../base/faults.ts';

export interface ChangedRange {
  readonly offset: number;
  readonly length: number;
}

export interface ChangedExtents {
  /** Ranges that may differ, in order and without overlaps; what none of them names is said to be unchanged. */
  ranges(): AsyncIterable<ChangedRange>;
  close(): Promise<void>;
}

/** Offset and length. */
export type ExtentPair = readonly [offset: number, length: number];

/** INVALID_ARGUMENT, with the place in the list, unless the pairs ascend, do not overlap and end within `sizeBytes`. */
export function checkExtents(pairs: readonly ExtentPair[], sizeBytes: number): void {
  let end = 0;
  pairs.forEach(([offset, length], number) => {
    const refuse = (why: string): never => {
      throw new Fault(
        'INVALID_ARGUMENT',
        `Cannot use changed extent "${offset} ${length}" (number ${number + 1}): ${why}`,
      );
    };
    if (!Number.isSafeInteger(offset) || offset < 0) refuse('its offset is not a byte of the volume');
    if (!Number.isSafeInteger(length) || length < 1) refuse('its length is not a number of bytes');
    if (offset < end) refuse(`it begins before byte ${end}, where the one before it ends`);
    end = offset + length;
    if (end > sizeBytes) refuse(`it reaches over the end of the volume, which has ${sizeBytes} bytes`);
  });
}

const pairBytes = 16;
const stepBytes = 4096 * pairBytes;

/** Keeps pairs in a file, so that jobs that wait hold no memory for them. */
export async function spoolExtents(path: string, pairs: readonly ExtentPair[]): Promise<void> {
  const bytes = Buffer.alloc(pairs.length * pairBytes);
  pairs.forEach(([offset, length], number) => {
    bytes.writeDoubleLE(offset, number * pairBytes);
    bytes.writeDoubleLE(length, number * pairBytes + 8);
  });
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(path, bytes, { mode: 0o600 });
  } catch (thrown) {
    await rm(path, { force: true }).catch(() => undefined);
    throw notKept(path, thrown);
  }
}

const notKept = (path: string, thrown: unknown): Fault =>
  new Fault(
    'STORAGE_FAILED',
    `Cannot keep the changed extents in "${path}": ${errnoOf(thrown) ?? String(thrown)}`,
    { cause: thrown },
  );

/** A file of more is not worth what it saves: TOOL_FAILED. */
const spooledMax = 8 * 1024 * 1024;

/** The same of ranges that come one by one, in bounded memory. */
export async function spoolRanges(path: string, ranges: AsyncIterable<ChangedRange>): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(path, 'wx', 0o600);
    try {
      await writeRanges(file, ranges);
    } finally {
      await file.close();
    }
  } catch (thrown) {
    await rm(path, { force: true }).catch(() => undefined);
    throw errnoOf(thrown) === undefined || thrown instanceof Fault ? thrown : notKept(path, thrown);
  }
}

async function writeRanges(file: FileHandle, ranges: AsyncIterable<ChangedRange>): Promise<void> {
  const bytes = Buffer.alloc(stepBytes);
  let [filled, count] = [0, 0];
  for await (const { offset, length } of ranges) {
    count += 1;
    if (count > spooledMax) throw new Fault('TOOL_FAILED', `More than ${spooledMax} ranges have changed`);
    bytes.writeDoubleLE(offset, filled);
    bytes.writeDoubleLE(length, filled + 8);
    filled += pairBytes;
    if (filled < stepBytes) continue;
    await file.writeFile(bytes);
    filled = 0;
  }
  await file.writeFile(bytes.subarray(0, filled));
}

/** What `spoolExtents` or `spoolRanges` kept; `close` removes it. */
export function spooledExtents(path: string): ChangedExtents {
  async function* ranges(): AsyncIterable<ChangedRange> {
    const file = await open(path);
    try {
      const bytes = Buffer.alloc(stepBytes);
      for (let position = 0; ; position += stepBytes) {
        const { bytesRead } = await file.read(bytes, 0, stepBytes, position);
        assert(bytesRead % pairBytes === 0, 'a spool file holds whole pairs');
        for (let at = 0; at < bytesRead; at += pairBytes) {
          yield { offset: bytes.readDoubleLE(at), length: bytes.readDoubleLE(at + 8) };
        }
        if (bytesRead < stepBytes) return;
      }
    } finally {
      await file.close();
    }
  }
  return { ranges, close: () => rm(path, { force: true }) };
}

/** What was kept, unless `flaw` says why it is no answer; then, and where it throws, the file does not stay. */
export async function spooledUnless(
  path: string,
  flaw: () => Promise<string | undefined>,
): Promise<ChangedExtents | string> {
  let why: string | undefined = 'nobody knows yet';
  try {
    why = await flaw();
    return why ?? spooledExtents(path);
  } finally {
    if (why !== undefined) await rm(path, { force: true });
  }
}
