import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { inLane } from '../../../daemon/storage/lanes.ts';

/** Calls that end when they are told to. */
function callsAt(place: string) {
  const ends: (() => void)[] = [];
  let done = 0;
  const call = () =>
    void inLane(place, () => new Promise<void>((end) => ends.push(end))).then(() => {
      done += 1;
    });
  return {
    ask: (times: number) => Array.from({ length: times }).forEach(call),
    get running() {
      return ends.length;
    },
    get done() {
      return done;
    },
    endOne: () => ends.shift()?.(),
  };
}

test('a storage that does not answer leaves a lane to the others, and all of them leave threads to everybody else', async () => {
  const [a, b, c] = [callsAt('/a'), callsAt('/b'), callsAt('/c')];
  a.ask(5);
  expect(a.running).toBe(2);
  b.ask(2);
  c.ask(2);
  expect([a.running, b.running, c.running]).toEqual([2, 1, 0]);
  // The lane of who has ended goes to the first in line that may have it: not to the first storage, which has both of its own.
  b.endOne();
  await turn();
  expect([a.running, b.running, c.running]).toEqual([2, 1, 0]);
  b.endOne();
  await turn();
  expect([a.running, b.running, c.running]).toEqual([2, 0, 1]);
  // And nothing is lost once it answers.
  while (a.running + b.running + c.running > 0) {
    for (const storage of [a, b, c]) storage.endOne();
    await turn();
    expect(a.running + b.running + c.running).toBeLessThanOrEqual(3);
  }
  expect([a.done, b.done, c.done]).toEqual([5, 2, 2]);
});

test('a call that fails gives its lane back', async () => {
  for (let number = 0; number < 5; number += 1)
    await expect(inLane('/a', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await inLane('/a', () => Promise.resolve('yes'))).toBe('yes');
});
