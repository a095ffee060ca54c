import { expect, test } from 'vitest';
import { RateMeter } from '../../../daemon/jobs/report.ts';

/** A meter to which `bytes` come every `everyMs`, for `forMs`. */
function fed(everyMs: number, bytes: number, forMs: number, meter = new RateMeter(), from = 0): RateMeter {
  for (let at = from; at <= from + forMs; at += everyMs) meter.add(at, (at / everyMs) * bytes);
  return meter;
}

test('the rate is that of the last seconds', () => {
  const meter = fed(10, 1000, 20_000);
  // What comes within a tenth of a second is one sample.
  expect(meter.bytesPerSecond(20_000) / 100_000).toBeCloseTo(1, 1);
  expect(new RateMeter().bytesPerSecond(5000)).toBe(0);
});

test('where nothing comes any more the rate falls at once, and is 0 soon', () => {
  const meter = fed(10, 1000, 20_000);
  expect(meter.bytesPerSecond(22_000)).toBeLessThan(80_000);
  expect(meter.bytesPerSecond(28_000)).toBe(0);
  expect(meter.bytesPerSecond(90_000)).toBe(0);
});

test('a source slower than a floppy has the rate at which it comes, and none when it stops', () => {
  // A segment of a mebibyte every forty seconds.
  const meter = fed(40_000, 2 ** 20, 400_000);
  const rate = 2 ** 20 / 40;
  for (const later of [1000, 20_000, 39_000]) {
    expect(meter.bytesPerSecond(400_000 + later)).toBeLessThanOrEqual(rate);
    expect(meter.bytesPerSecond(400_000 + later)).toBeGreaterThan(rate / 2.1);
  }
  expect(meter.bytesPerSecond(461_000)).toBe(0);
});

test('after a minute without an answer the rate is that of now within the next seconds', () => {
  const meter = fed(100, 10_000, 10_000);
  for (let at = 70_000; at <= 76_000; at += 100) meter.add(at, 1_000_000 + (at - 69_900) * 100);
  expect(meter.bytesPerSecond(76_000)).toBe(100_000);
});
