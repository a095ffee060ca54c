/** Ranges that become objects of a Cinder backup, for any mixture of changed and zeroed blocks. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KiB } from '../../daemon/base/bytes.ts';
import {
  type Cutter,
  FullCutter,
  IncrementalCutter,
  type Run,
  type Step,
  sliceBytes,
} from '../../daemon/repository/cinder/cut.ts';
import { FullBackupNeeded } from '../../daemon/repository/repository.ts';

interface Block {
  readonly zero: boolean;
  readonly changed: boolean;
}
interface Piece {
  readonly offset: number;
  end: number;
}

/** Steps as objects; undefined where a full backup is asked for. */
function objectsOf(cutter: Cutter, runs: readonly Run[]): Piece[] | undefined {
  const objects: Piece[] = [];
  let open: Piece | undefined;
  const take = (steps: Iterable<Step>) => {
    for (const step of steps) {
      if (step.kind === 'open') {
        expect(open).toBeUndefined();
        open = { offset: step.offset, end: step.offset };
        objects.push(open);
      } else if (step.kind === 'close') open = undefined;
      else if (open === undefined) throw new Error('a step without an object');
      else {
        if (step.kind === 'data') expect(step.offset).toBe(open.end);
        open.end += step.length;
      }
    }
  };
  try {
    for (const run of runs) take(cutter.add(run));
    take(cutter.end());
  } catch (thrown) {
    if (thrown instanceof FullBackupNeeded) return undefined;
    throw thrown;
  }
  expect(open).toBeUndefined();
  return objects;
}

/** Neighbours of one kind are one run, but no run crosses a multiple of `segment` blocks, as when a volume is read. */
function runsOf(blocks: readonly Block[], blockBytes: number, sizeBytes: number, segment: number): Run[] {
  const runs: { offset: number; length: number; zero: boolean; changed: boolean }[] = [];
  for (const [number, block] of blocks.entries()) {
    const last = runs.at(-1);
    const length = Math.min(blockBytes, sizeBytes - number * blockBytes);
    const same = last !== undefined && last.zero === block.zero && last.changed === block.changed;
    if (same && number % segment !== 0) last.length += length;
    else runs.push({ offset: number * blockBytes, length, ...block });
  }
  return runs;
}

const blockBytes = 64 * KiB;
const perSlice = sliceBytes / blockBytes;

/** Stretches of blocks of one kind, so that long runs of zeros come up. */
const volumes = fc
  .array(
    fc.record({
      zero: fc.boolean(),
      changed: fc.boolean(),
      count: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 2 * perSlice + 2 })),
    }),
    { minLength: 1, maxLength: 14 },
  )
  .map((stretches) =>
    stretches.flatMap(({ count, zero, changed }) => Array.from({ length: count }, () => ({ zero, changed }))),
  );
const cases = fc.record({
  blocks: volumes,
  tail: fc.integer({ min: 1, max: blockBytes }),
  objectBlocks: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 16, max: 60 })),
});

const inside = (objects: readonly Piece[], begin: number, end: number): boolean =>
  objects.some((object) => object.offset <= begin && end <= object.end);

test('every changed block is in an object, and no slice of one is zeros where something changed', () => {
  let made = 0;
  const check = fc.property(cases, ({ blocks, tail, objectBlocks }) => {
    const sizeBytes = (blocks.length - 1) * blockBytes + tail;
    const runs = runsOf(blocks, blockBytes, sizeBytes, 16);
    const objects = objectsOf(new IncrementalCutter(objectBlocks * blockBytes, blockBytes), runs);
    const span = (number: number) =>
      [number * blockBytes, Math.min(sizeBytes, (number + 1) * blockBytes)] as const;
    const reachable = blocks.every(({ zero, changed }, number) => {
      if (!zero || !changed) return true;
      return blocks.some((other, at) => {
        const [begin, end] = [span(Math.min(number, at))[0], span(Math.max(number, at))[1]];
        return !other.zero && end - begin <= sliceBytes;
      });
    });
    if (objects === undefined) {
      const alone = blocks.some(
        ({ zero }, at) => !zero && (at === 0 || blocks[at - 1]?.zero) && (blocks[at + 1]?.zero ?? true),
      );
      // A single block between zeros may have gone with those before it already.
      expect(!reachable || alone).toBe(true);
      return;
    }
    made += 1;
    expect(reachable).toBe(true);
    for (const [number, object] of objects.entries()) {
      expect(object.offset).toBeGreaterThanOrEqual(objects[number - 1]?.end ?? 0);
      expect(object.end - object.offset).toBeLessThanOrEqual(objectBlocks * blockBytes + 2 * sliceBytes);
      for (let slice = object.offset; slice < object.end; slice += sliceBytes) {
        const end = Math.min(object.end, slice + sliceBytes);
        const within = blocks.filter((_, at) => span(at)[0] >= slice && span(at)[1] <= end);
        expect(within.some(({ zero }) => !zero) || within.every(({ changed }) => !changed)).toBe(true);
      }
    }
    for (const [number, { changed }] of blocks.entries()) {
      if (changed) expect(inside(objects, ...span(number))).toBe(true);
    }
  });
  fc.assert(check, { numRuns: 3000 });
  expect(made).toBeGreaterThan(500);
});

test('without zeros the objects of an incremental backup are those that Cinder cuts', () => {
  const check = fc.property(cases, ({ blocks, tail, objectBlocks }) => {
    const sizeBytes = (blocks.length - 1) * blockBytes + tail;
    const data = blocks.map(({ changed }) => ({ changed, zero: false }));
    const runs = runsOf(data, blockBytes, sizeBytes, 16);
    const expected: Piece[] = [];
    for (const [number, { changed }] of data.entries()) {
      const [begin, end] = [number * blockBytes, Math.min(sizeBytes, (number + 1) * blockBytes)];
      const last = expected.at(-1);
      if (!changed) continue;
      if (last?.end === begin && number % objectBlocks !== 0) last.end = end;
      else expected.push({ offset: begin, end });
    }
    expect(objectsOf(new IncrementalCutter(objectBlocks * blockBytes, blockBytes), runs)).toEqual(expected);
  });
  fc.assert(check, { numRuns: 500 });
});

test('a full backup covers everything, cut at the object size', () => {
  const check = fc.property(cases, ({ blocks, tail, objectBlocks }) => {
    const sizeBytes = (blocks.length - 1) * blockBytes + tail;
    const whole = blocks.map(({ zero }) => ({ zero, changed: true }));
    const objectBytes = objectBlocks * blockBytes;
    const objects = objectsOf(new FullCutter(objectBytes), runsOf(whole, blockBytes, sizeBytes, 16));
    const expected: Piece[] = [];
    for (let at = 0; at < sizeBytes; at += objectBytes)
      expected.push({ offset: at, end: Math.min(sizeBytes, at + objectBytes) });
    expect(objects).toEqual(expected);
  });
  fc.assert(check, { numRuns: 200 });
});
