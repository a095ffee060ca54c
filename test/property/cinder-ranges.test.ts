/** A set of byte ranges is what a set of bytes is. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Ranges } from '../../daemon/repository/cinder/ranges.ts';

const size = 40;

test('adding and subtracting ranges is adding and subtracting bytes', () => {
  const step = fc.record({
    adds: fc.boolean(),
    begin: fc.integer({ min: 0, max: size }),
    length: fc.integer({ min: 0, max: 12 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const ranges = new Ranges();
      const bytes = new Set<number>();
      for (const { adds, begin, length } of steps) {
        if (adds) ranges.add(begin, begin + length);
        else ranges.subtract(begin, begin + length);
        for (let at = begin; at < begin + length; at += 1)
          if (adds) bytes.add(at);
          else bytes.delete(at);
      }
      const listed = [...ranges];
      const inside = listed.flatMap(({ offset, length }) => Array.from({ length }, (_, at) => offset + at));
      expect(inside).toEqual([...bytes].sort((a, b) => a - b));
      expect(ranges.bytes).toBe(bytes.size);
      for (const [number, { offset, length }] of listed.entries()) {
        expect(length).toBeGreaterThan(0);
        const before = listed[number - 1];
        if (before !== undefined) expect(offset).toBeGreaterThan(before.offset + before.length);
      }
    }),
    { numRuns: 2000 },
  );
});

test('a set with too many ranges holds more, never less, and says so', () => {
  const ranges = new Ranges();
  for (let number = 0; number < 70_000; number += 1) ranges.add(number * 10, number * 10 + 1);
  expect(ranges.rough).toBe(true);
  expect([...ranges].length).toBeLessThanOrEqual(65_536);
  expect([...ranges].at(-1)).toMatchObject({ length: expect.any(Number) as number });
  const last = [...ranges].at(-1);
  expect((last?.offset ?? 0) + (last?.length ?? 0)).toBe(699_991);
});
