import fc from 'fast-check';
import { expect, test } from 'vitest';
import { stageBuffers } from '../../../daemon/base/limits.ts';
import { Pool } from '../../../daemon/memory/pool.ts';
import { PackStage } from '../../../daemon/repository/native/pack-stage.ts';

const pageBytes = 4096;
const memory = () => new Pool(new Uint8Array(stageBuffers * pageBytes));

/** What was written, as a file would have it; each write lasts until it is told to end. */
function slowFile() {
  const bytes = Buffer.alloc(40 * pageBytes);
  const ends: (() => void)[] = [];
  const writes: { readonly position: number; readonly length: number }[] = [];
  const write = (position: number, piece: Uint8Array) =>
    new Promise<void>((resolve) => {
      writes.push({ position, length: piece.length });
      ends.push(() => {
        // The bytes count as they are when the write ends: the buffer must not be used again before.
        bytes.set(piece, position);
        resolve();
      });
    });
  return { bytes, ends, writes, write };
}

const soon = () => new Promise((resolve) => setImmediate(resolve));

/** Ends writes, in the order that `last` wants, until none comes any more. */
async function endAll(ends: (() => void)[], last: boolean): Promise<void> {
  for (await soon(); ends.length > 0; await soon()) (last ? ends.pop() : ends.shift())?.();
}

test('pieces of any length lie one behind the other, in whole buffers, whatever order the writes end in', async () => {
  const lengths = fc.array(fc.integer({ min: 0, max: 3 * pageBytes }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(lengths, fc.boolean(), async (each, last) => {
      const file = slowFile();
      const stage = new PackStage(memory(), file.write, () => undefined);
      const pieces = each.map((length, number) => Buffer.alloc(length, number + 1));
      const taken = pieces.map((piece) => stage.add(piece).then(() => piece.fill(0xff)));
      const expected = Buffer.concat(pieces.map((piece) => Buffer.from(piece)));
      const ended = stage.end();
      await Promise.all([endAll(file.ends, last), ...taken, ended]);
      expect(file.bytes.subarray(0, expected.length).equals(expected)).toBe(true);
      expect(file.writes.map(({ position }) => position)).toEqual(
        file.writes.map((_, number) => number * pageBytes),
      );
    }),
    { numRuns: 100 },
  );
});

test('packs that are written at once wait for buffers, and all of them end', async () => {
  const shared = memory();
  const files = [slowFile(), slowFile(), slowFile(), slowFile()];
  const stages = files.map((file) => new PackStage(shared, file.write, () => undefined));
  const ended = stages.map(async (stage, number) => {
    for (let piece = 0; piece < 5; piece += 1) await stage.add(Buffer.alloc(pageBytes - 100, number + 1));
    await stage.end();
  });
  // Each turn ends one write of each; there are at most six in each.
  for (let turn = 0; turn < 40; turn += 1) {
    await soon();
    for (const { ends } of files) ends.shift()?.();
  }
  await Promise.all(ended);
  for (const [number, { bytes }] of files.entries())
    expect(bytes.subarray(0, 5 * (pageBytes - 100)).every((byte) => byte === number + 1)).toBe(true);
});

test('after a write that failed nothing more is written, and the buffers serve the next pack', async () => {
  const shared = memory();
  const written: number[] = [];
  let failures = 0;
  const full = new Error('no room');
  const broken = new PackStage(
    shared,
    (position) => {
      written.push(position);
      return position === 0 ? Promise.reject(full) : Promise.resolve();
    },
    () => (failures += 1),
  );
  await broken.add(Buffer.alloc(pageBytes));
  await soon();
  for (let piece = 0; piece < 5; piece += 1) await broken.add(Buffer.alloc(pageBytes));
  await expect(broken.end()).rejects.toBe(full);
  expect(written).toEqual([0]);
  expect(failures).toBe(1);
  const file = slowFile();
  const next = new PackStage(shared, file.write, () => undefined);
  const added = next.add(Buffer.alloc(4 * pageBytes, 7)).then(() => next.end());
  await Promise.all([endAll(file.ends, false), added]);
  expect(file.bytes.subarray(0, 4 * pageBytes).every((byte) => byte === 7)).toBe(true);
});
