import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Run, runsOf } from '../../../daemon/pipeline/changes.ts';
import { Sample, sampleBlocksMax, sampleBlocksMin } from '../../../daemon/pipeline/sample.ts';

const blockBytes = 16;

async function runs(ranges: readonly (readonly [number, number])[], sizeBytes: number, parentBytes: number) {
  async function* changed() {
    for (const [offset, length] of ranges) yield { offset, length };
  }
  const all: Run[] = [];
  for await (const run of runsOf(changed(), { sizeBytes, parentBytes, blockBytes })) all.push(run);
  return all;
}

test('blocks that a range touches are read, neighbours in one run', async () => {
  expect(
    await runs(
      [
        [17, 1],
        [40, 3],
        [100, 1],
      ],
      160,
      160,
    ),
  ).toEqual([
    { offset: 0, length: 16, keep: true },
    { offset: 16, length: 32, keep: false },
    { offset: 48, length: 48, keep: true },
    { offset: 96, length: 16, keep: false },
    { offset: 112, length: 48, keep: true },
  ]);
});

test('a last block that is not whole is kept where the sizes agree, and read where they differ', async () => {
  expect(await runs([], 100, 100)).toEqual([{ offset: 0, length: 100, keep: true }]);
  const cut = [
    { offset: 0, length: 96, keep: true },
    { offset: 96, length: 4, keep: false },
  ];
  expect(await runs([], 100, 200)).toEqual(cut);
  expect(await runs([], 200, 100)).toEqual([cut[0], { offset: 96, length: 104, keep: false }]);
  expect(await runs([[150, 10]], 200, 100)).toEqual([cut[0], { offset: 96, length: 104, keep: false }]);
});

test('an empty volume has no runs', async () => {
  expect(await runs([], 0, 100)).toEqual([]);
});

test('runs cover everything in order, and never keep a byte that changed or that the parent lacks', async () => {
  const pieces = fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 60 })), { maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(pieces, fc.nat(900), fc.nat(900), async (gaps, sizeBytes, parentBytes) => {
      let end = 0;
      const ranges = gaps.map(([gap, length]) => {
        const offset = end + gap;
        end = offset + length;
        return [offset, length] as const;
      });
      let next = 0;
      for (const { offset, length, keep } of await runs(ranges, sizeBytes, parentBytes)) {
        expect(offset).toBe(next);
        expect(length).toBeGreaterThan(0);
        next = offset + length;
        if (!keep) continue;
        expect(offset % blockBytes).toBe(0);
        expect(next).toBeLessThanOrEqual(parentBytes);
        expect(next % blockBytes === 0 || (next === sizeBytes && sizeBytes === parentBytes)).toBe(true);
        expect(ranges.some(([from, bytes]) => from < next && from + bytes > offset)).toBe(false);
      }
      expect(next).toBe(sizeBytes);
    }),
  );
});

const numbered = (sample: Sample, count: number, from = 0) =>
  sample.offer(count, (number) => ({ offset: from + number, address: undefined }));

test('a small volume is compared whole, a large one in part, within bounds', () => {
  const sizes = [0, 10, 64, 1000, 64_000, 200_000, 10_000_000].map((count) => {
    const sample = new Sample();
    numbered(sample, count);
    const offsets = sample.blocks().map(({ offset }) => offset);
    expect(offsets).toEqual([...new Set(offsets)].sort((a, b) => a - b));
    expect(offsets.every((offset) => offset >= 0 && offset < count)).toBe(true);
    return offsets.length;
  });
  expect(sizes).toEqual([0, 10, sampleBlocksMin, sampleBlocksMin, 64, 200, sampleBlocksMax]);
});

test('every part of a volume has the same chance, whether blocks come one by one or in runs', () => {
  for (const step of [1, 7919, 1_000_000]) {
    const sample = new Sample();
    const total = 3_000_000;
    for (let at = 0; at < total; at += step) numbered(sample, Math.min(step, total - at), at);
    const tenths = Array.from({ length: 10 }, () => 0);
    for (const { offset } of sample.blocks()) {
      const tenth = Math.floor((offset * 10) / total);
      tenths[tenth] = (tenths[tenth] ?? 0) + 1;
    }
    // 205 each are expected; 110 would be more than six standard deviations away.
    expect(Math.min(...tenths)).toBeGreaterThan(110);
    expect(Math.max(...tenths)).toBeLessThan(300);
  }
});
