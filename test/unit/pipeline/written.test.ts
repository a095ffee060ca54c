/** The ranges that a restore has changed, beside a plain list of bytes. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { writtenRangesMax } from '../../../daemon/base/limits.ts';
import { Written } from '../../../daemon/pipeline/written.ts';

const span = 400;
const range = fc.record({ offset: fc.nat(span - 41), length: fc.integer({ min: 1, max: 40 }) });

test('ranges are in order, do not touch, and are exactly what was written or is being written', () => {
  const step = fc.record({ range, outcome: fc.constantFrom('changed', 'unchanged', 'under way') });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const written = new Written();
      const bytes = new Uint8Array(span);
      for (const { range: one, outcome } of steps) {
        const ended = written.begin(one.offset, one.length);
        if (outcome !== 'under way') ended(outcome === 'changed');
        if (outcome !== 'unchanged') bytes.fill(1, one.offset, one.offset + one.length);
      }
      const { ranges, total_bytes, exact } = written.report();
      const told = new Uint8Array(span);
      let end = -1;
      for (const { offset, length } of ranges) {
        expect(offset).toBeGreaterThan(end);
        end = offset + length;
        told.fill(1, offset, end);
      }
      expect(told).toEqual(bytes);
      expect(total_bytes).toBe(bytes.reduce((sum, byte) => sum + byte, 0));
      expect(exact).toBe(true);
      expect(new Written(written.report()).report()).toEqual(written.report());
    }),
  );
});

test('too many ranges are joined where the gaps are smallest, and that is said', () => {
  const written = new Written();
  for (let number = 0; number < writtenRangesMax; number += 1)
    written.add({ offset: number * 1000, length: 10 });
  expect(written.report()).toMatchObject({ exact: true, total_bytes: writtenRangesMax * 10 });
  written.add({ offset: 5 * 1000 + 20, length: 10 });
  const { ranges, exact } = written.report();
  expect(exact).toBe(false);
  expect(ranges).toHaveLength(writtenRangesMax);
  expect(ranges[5]).toEqual({ offset: 5000, length: 30 });
});
