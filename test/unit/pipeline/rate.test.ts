import { expect, test } from 'vitest';
import { KiB, MiB } from '../../../daemon/base/bytes.ts';
import { Rate, takeAll } from '../../../daemon/pipeline/rate.ts';

const never = new AbortController().signal;

async function secondsFor(bytes: number, rates: Rate[]): Promise<number> {
  const begin = performance.now();
  for (let left = bytes; left > 0; left -= 64 * KiB) await takeAll(rates, 64 * KiB, never);
  return (performance.now() - begin) / 1000;
}

test('no more goes through than the rate allows', async () => {
  const rate = new Rate(4 * MiB);
  // A quarter of a second may be caught up, and the last step is not waited for.
  expect(await secondsFor(4 * MiB, [rate])).toBeGreaterThan(0.7);
});

test('without a limit nothing waits', async () => {
  expect(await secondsFor(1024 * MiB, [new Rate(0)])).toBeLessThan(1);
});

test('the slowest of several rates counts', async () => {
  expect(await secondsFor(2 * MiB, [new Rate(1024 * MiB), new Rate(2 * MiB)])).toBeGreaterThan(0.7);
});

test('a changed rate counts for a step that waits already', async () => {
  const rate = new Rate(1);
  await rate.take(MiB, never);
  const waiting = rate.take(1, never);
  rate.bytesPerSecond = 0;
  const begin = performance.now();
  await waiting;
  expect(performance.now() - begin).toBeLessThan(1000);
});

test('a cancelled step does not wait on', async () => {
  const rate = new Rate(1);
  await rate.take(MiB, never);
  const controller = new AbortController();
  const waiting = rate.take(1, controller.signal);
  controller.abort();
  const begin = performance.now();
  await waiting;
  expect(performance.now() - begin).toBeLessThan(1000);
});

test('a step that was let through at a low rate is paid for at the new one', async () => {
  const rate = new Rate(1);
  await rate.take(MiB, never);
  rate.bytesPerSecond = 16 * MiB;
  const begin = performance.now();
  await rate.take(1, never);
  expect(performance.now() - begin).toBeLessThan(1000);
});
