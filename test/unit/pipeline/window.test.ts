import { expect, test } from 'vitest';
import { slotsFor } from '../../../daemon/pipeline/parts.ts';
import { Window } from '../../../daemon/pipeline/window.ts';

/** Runs `steps` steps and gives the most that were under way at a time after each began. */
async function mostUnderWay(window: Window<number>, steps: number): Promise<number[]> {
  let underWay = 0;
  const seen: number[] = [];
  for (let step = 0; step < steps; step += 1) {
    await window.begin(async () => {
      underWay += 1;
      seen.push(underWay);
      await new Promise((resolve) => setTimeout(resolve, 2));
      underWay -= 1;
    });
  }
  await window.drain();
  return seen;
}

test('steps under way fill the slots, and no more', async () => {
  const seen = await mostUnderWay(new Window([0, 1, 2, 3, 4], () => 99), 20);
  expect(Math.max(...seen)).toBe(5);
});

test('fewer steps are begun as soon as fewer are allowed, and more again afterwards', async () => {
  let most = 5;
  const window = new Window([0, 1, 2, 3, 4], () => most);
  expect(Math.max(...(await mostUnderWay(window, 10)))).toBe(5);
  most = 2;
  expect(Math.max(...(await mostUnderWay(window, 10)))).toBe(2);
  most = 0;
  expect(Math.max(...(await mostUnderWay(window, 3)))).toBe(1);
  most = 4;
  expect(Math.max(...(await mostUnderWay(window, 10)))).toBe(4);
});

test('a failed step lets no other begin, also where it waits for its turn', async () => {
  const window = new Window([0, 1, 2], () => 1);
  await window.begin(() => Promise.reject(new Error('broken')));
  await expect(window.begin(() => Promise.resolve())).rejects.toThrow('broken');
  await expect(window.drain()).rejects.toThrow('broken');
});

test('one copy alone may use every processor, many share, and each goes on', () => {
  expect(slotsFor(1)).toBeGreaterThanOrEqual(3);
  expect(slotsFor(0)).toBe(slotsFor(1));
  expect(slotsFor(15)).toBeLessThanOrEqual(slotsFor(2));
  expect(slotsFor(1_000_000)).toBe(2);
});
