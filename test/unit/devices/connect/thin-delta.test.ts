/** What thin_delta prints: read where it is whole and of these two volumes, refused wherever anything is odd. And notes of pools. */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import {
  releaseLeft,
  withMetadataSnapshot,
} from '../../../../daemon/devices/connect/lvm/metadata-snapshot.ts';
import { readPoolState } from '../../../../daemon/devices/connect/lvm/pool.ts';
import { changedRanges } from '../../../../daemon/devices/connect/lvm/thin-delta.ts';
import { systemLines } from '../../../../daemon/devices/connect/tool-lines.ts';
import type { Tools } from '../../../../daemon/devices/connect/tools.ts';
import { codeOf } from '../../../support/devices.ts';

const blockBytes = 65536;
const order = { left: 2, right: 3, blockBytes, transactionMin: 3, sizeBytes: 100 * blockBytes - 512 };

async function* linesOf(text: string): AsyncIterable<string> {
  yield* text.split('\n');
}

async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const ranges = (text: string, more: Partial<typeof order> = {}): Promise<unknown[]> =>
  allOf(changedRanges(linesOf(text), { ...order, ...more }));

const head = '<superblock uuid="" time="2" transaction="3" data_block_size="128" nr_data_blocks="0">';
const whole = (...runs: readonly string[]): string =>
  [
    head,
    '  <diff left="2" right="3">',
    ...runs.map((run) => `    <${run}/>`),
    '  </diff>',
    '</superblock>',
    '',
  ].join('\n');

test('what one of the two has alone, or both have otherwise, has changed', async () => {
  const text = whole(
    'different begin="0" length="1"',
    'same begin="1" length="9"',
    'left_only begin="10" length="2"',
    'right_only begin="12" length="1"',
    'different begin="99" length="7"',
    'left_only begin="200" length="5"',
  );
  expect(await ranges(text)).toEqual([
    { offset: 0, length: blockBytes },
    { offset: 10 * blockBytes, length: 3 * blockBytes },
    { offset: 99 * blockBytes, length: blockBytes - 512 },
  ]);
  expect(await ranges(whole())).toEqual([]);
});

test.each([
  ['', {}],
  [head, {}],
  [whole('different begin="0" length="1"').replace('</superblock>\n', ''), {}],
  [`${whole()}<superblock/>`, {}],
  [whole('different begin="0"'), {}],
  [whole('different begin="-1" length="1"'), {}],
  [whole('different begin="0" length="0"'), {}],
  [whole('different begin="0" length="1e3"'), {}],
  [whole('different begin="5" length="2"', 'same begin="6" length="1"'), {}],
  [whole('different begin="5" length="2"', 'same begin="1" length="1"'), {}],
  [whole('different begin="9007199254740000" length="900"'), {}],
  [whole('range begin="0" length="1"'), {}],
  [whole('!-- a comment --'), {}],
  [whole(), { left: 7 }],
  [whole(), { right: 7 }],
  [whole(), { blockBytes: 131072 }],
  [whole(), { transactionMin: 4 }],
] as const)('what is odd is no answer (%#)', async (text, more) => {
  expect(await codeOf(ranges(text, more))).toBe('TOOL_FAILED');
});

test('whatever lines come, they are an answer in order and within the volume, or a fault', async () => {
  const kind = fc.constantFrom('same', 'different', 'left_only', 'right_only', 'diff', '/diff');
  const number = fc.oneof(fc.nat(120), fc.maxSafeNat());
  const run = fc
    .tuple(kind, number, number)
    .map(([name, at, length]) => `${name} begin="${at}" length="${length}"`);
  const check = async (runs: readonly string[]) => {
    const found = await ranges(whole(...runs)).catch((thrown: unknown) => String(thrown));
    if (typeof found === 'string') {
      expect(found).toMatch(/thin_delta/);
      return;
    }
    let end = -1;
    for (const range of found) {
      const { offset, length } = range as { offset: number; length: number };
      expect(offset).toBeGreaterThan(end);
      expect(length).toBeGreaterThan(0);
      end = offset + length;
    }
    expect(end).toBeLessThanOrEqual(order.sizeBytes);
  };
  await fc.assert(fc.asyncProperty(fc.array(run, { maxLength: 6 }), check), { numRuns: 300 });
});

test('lines come one by one, and a program that fails, hangs or prints no lines is told of', async () => {
  const options = { timeoutMs: 20_000, memoryBytes: 2 ** 28, signal: new AbortController().signal };
  const lines = (script: string, more = {}) =>
    allOf(systemLines('sh', ['-c', script], { ...options, ...more }));
  expect(await lines('seq 1 50000')).toHaveLength(50_000);
  await expect(lines('echo 1; echo why >&2; exit 3')).rejects.toThrow('"sh" failed: why');
  await expect(lines('head -c 300000000 /dev/zero | tail -n 1 | wc -c')).resolves.toEqual(['0']);
  await expect(lines('sleep 60', { timeoutMs: 100 })).rejects.toThrow(/did not end within 0.1 s/);
  await expect(lines('head -c 1000000 /dev/zero')).rejects.toThrow(/lines without an end/);
  const cancelled = AbortSignal.abort(new Error('enough'));
  await expect(lines('sleep 60', { signal: cancelled })).rejects.toThrow('enough');
  expect(await codeOf(allOf(systemLines('no-such-program', [], options)))).toBe('TOOL_MISSING');
});

test('a pool says what it holds, and where it does not nothing is taken for it', () => {
  const words = (text: string) => text.split(' ');
  const held = readPoolState(words('thin-pool 3 119/1024 673/4096 58 rw discard_passdown'));
  expect(held).toEqual({ heldBlock: 58, writable: true });
  expect(readPoolState(words('thin-pool 3 119/1024 673/4096 - ro x'))).toEqual({
    heldBlock: null,
    writable: false,
  });
  expect(readPoolState(words('thin-pool Fail'))).toBe(undefined);
  expect(readPoolState(words('linear 7:0 2048'))).toBe(undefined);
});

const pool = { groupId: 'g'.repeat(32), volumeId: 'v'.repeat(32) };
const mapId = `LVM-${'g'.repeat(32)}${'v'.repeat(32)}-tpool`;

/** A pool that holds its metadata as it is told to. */
function simulatedPool(state: { held: number | null; active: boolean }) {
  const said: string[] = [];
  const answer = (stdout: string, status = 0) =>
    Promise.resolve({ status, stdout, stderr: '', timedOut: false, complaint: 'busy' });
  const run: Tools['run'] = (_program, words) => {
    if (!state.active) return answer('', 1);
    if (words[0] === 'status') return answer(`0 1 thin-pool 3 1/9 1/9 ${state.held ?? '-'} rw`);
    const word = words.at(-1) ?? '';
    said.push(word);
    if (word.startsWith('reserve')) {
      if (state.held !== null) return answer('', 1);
      state.held = 58;
    } else state.held = null;
    return answer('');
  };
  const notesFolder = mkdtempSync(join(tmpdir(), 'basalt-notes-'));
  onTestFinished(() => rmSync(notesFolder, { recursive: true }));
  const tools = {
    run,
    output: () => Promise.reject(new Error('no')),
    find: () => Promise.resolve(undefined),
  };
  return { parts: { tools, notesFolder }, said, notes: () => readdirSync(notesFolder) };
}

test('what is reserved is released however its use ends, and what somebody else holds is left alone', async () => {
  const state: { held: number | null; active: boolean } = { held: null, active: true };
  const { parts, notes } = simulatedPool(state);
  const use = async () => {
    expect([state.held, notes().length]).toEqual([58, 1]);
    return 7;
  };
  expect(await withMetadataSnapshot(parts, pool, use)).toBe(7);
  await expect(withMetadataSnapshot(parts, pool, () => Promise.reject(new Error('x')))).rejects.toThrow('x');
  expect([state.held, notes()]).toEqual([null, []]);
  // Who looks for what is left does not wait for a comparison that is under way.
  const looked = async () => [await releaseLeft(parts), state.held];
  expect(await withMetadataSnapshot(parts, pool, looked)).toEqual([[], 58]);
  state.held = 5;
  expect(await withMetadataSnapshot(parts, pool, use)).toMatch(/somebody else/);
  expect([state.held, notes()]).toEqual([5, []]);
});

test('who waits for another comparison in the pool can be called off', async () => {
  const { parts, said } = simulatedPool({ held: null, active: true });
  const end = new AbortController();
  const first = withMetadataSnapshot(parts, pool, async () => {
    const second = withMetadataSnapshot(parts, pool, () => Promise.resolve(2), end.signal);
    end.abort(new Error('enough'));
    await expect(second).rejects.toThrow('enough');
    return 1;
  });
  expect(await first).toBe(1);
  expect(said).toEqual(['reserve_metadata_snap', 'release_metadata_snap']);
});

test('where the note can not be written the pool is not asked, and the fault says so', async () => {
  const { parts, said } = simulatedPool({ held: null, active: true });
  const notesFolder = join(parts.notesFolder, 'file');
  writeFileSync(notesFolder, '');
  const held = withMetadataSnapshot({ ...parts, notesFolder }, pool, () => Promise.resolve(7));
  expect(await codeOf(held)).toBe('STORAGE_FAILED');
  expect(said).toEqual([]);
});

test.each([
  ['the copy that the note names', '{"block":58}', 58, null],
  ['what was about to be reserved', '{"block":null}', 58, null],
  ['a note that is cut off', '{"blo', 58, null],
  ['nothing where the copy is of somebody else', '{"block":57}', 58, 58],
])('the next start releases %s', async (_what, note, held, left) => {
  const state: { held: number | null; active: boolean } = { held, active: false };
  const { parts, notes } = simulatedPool(state);
  mkdirSync(parts.notesFolder, { recursive: true });
  writeFileSync(join(parts.notesFolder, `${mapId}.json`), note);
  // Not before the pool is there.
  expect(await releaseLeft(parts)).toEqual([]);
  expect(notes()).toHaveLength(1);
  state.active = true;
  expect(await releaseLeft(parts)).toHaveLength(left === null ? 1 : 0);
  expect([state.held, notes()]).toEqual([left, []]);
});
