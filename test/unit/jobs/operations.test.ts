import fc from 'fast-check';
import { expect, test } from 'vitest';
import { systemClock } from '../../../daemon/base/clock.ts';
import { Fault } from '../../../daemon/base/faults.ts';
import { ordinal } from '../../../daemon/base/ordinal.ts';
import { Operations } from '../../../daemon/jobs/operations.ts';
import { Budget } from '../../../daemon/memory/budget.ts';

/** Lets everything that is ready go on. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function world(limit: number) {
  const operations = new Operations(limit);
  const entered: string[] = [];
  const leaving: (() => void)[] = [];
  const told = new Map<string, string>();
  return {
    entered,
    told,
    come: (name: string, project: string, signal = new AbortController().signal) => {
      const visit = operations.enter({ project, signal, onWait: (why) => told.set(name, why) });
      return visit.then((leave) => {
        entered.push(name);
        leaving.push(leave);
      });
    },
    oneLeaves: async () => {
      leaving.shift()?.();
      await turn();
    },
  };
}

test('the projects take turns: one with 200 in line holds up one with a single job by one place', async () => {
  const { come, entered, oneLeaves } = world(1);
  for (let number = 0; number <= 200; number += 1) void come(`a${number}`, 'a');
  await turn();
  void come('b0', 'b');
  for (let count = 0; count < 3; count += 1) await oneLeaves();
  expect(entered).toEqual(['a0', 'a1', 'b0', 'a2']);
});

test('never more than the limit are in, nobody is lost, and within a project nobody is overtaken', async () => {
  const visit = fc.record({
    project: fc.constantFrom('a', 'b', 'c'),
    leaves: fc.nat(3),
    cancels: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(visit, { maxLength: 30 }),
      async (limit, visits) => {
        const { come, entered, oneLeaves } = world(limit);
        const cancelled = new Set<string>();
        let left = 0;
        for (const [number, { project, leaves, cancels }] of visits.entries()) {
          const controller = new AbortController();
          const name = `${project}${String(number).padStart(2, '0')}`;
          void come(name, project, controller.signal).catch(() => cancelled.add(name));
          await turn();
          if (cancels) controller.abort(new Fault('CANCELLED', 'planted'));
          await turn();
          for (let count = 0; count < leaves && left < entered.length; count += 1) {
            left += 1;
            await oneLeaves();
          }
          expect(entered.length - left).toBeLessThanOrEqual(limit);
        }
        while (left < entered.length) {
          left += 1;
          await oneLeaves();
        }
        expect(entered.length + cancelled.size).toBe(visits.length);
        for (const project of ['a', 'b', 'c']) {
          const own = entered.filter((name) => name.startsWith(project));
          expect(own).toEqual([...own].sort());
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('who waits is told why, and again when the line before it gets shorter', async () => {
  const { come, told, oneLeaves } = world(2);
  const gone = new AbortController();
  void come('in1', 'a');
  void come('in2', 'a');
  void come('first', 'a');
  void come('second', 'a', gone.signal).catch(() => undefined);
  void come('third', 'a');
  void come('other', 'b');
  expect([...told]).toEqual([
    ['first', 'operations: 2 of 2 in use, 1st in line of project a'],
    ['second', 'operations: 2 of 2 in use, 2nd in line of project a'],
    ['third', 'operations: 2 of 2 in use, 3rd in line of project a'],
    ['other', 'operations: 2 of 2 in use, 1st in line of project b'],
  ]);
  gone.abort();
  expect(told.get('third')).toBe('operations: 2 of 2 in use, 2nd in line of project a');
  await turn();
  await oneLeaves();
  expect(told.get('third')).toBe('operations: 2 of 2 in use, 1st in line of project a');
});

test('who waits for memory is told its place, and again when it changes', async () => {
  const unit = 64 * 1024;
  const budget = new Budget([new ArrayBuffer(2 * unit)], systemClock);
  const wish = (bytes: number) => ({ owner: 'test', bytesMin: bytes, bytesMax: bytes });
  const all = await budget.admit(wish(2 * unit));
  const told: string[] = [];
  const waiting = ['a', 'b', 'c'].map((name) =>
    budget.admit(wish(unit), undefined, (place) => told.push(`${name}${place}`)),
  );
  all.release();
  await Promise.all(waiting.slice(0, 2));
  expect(told).toEqual(['a1', 'b2', 'c3', 'c1']);
});

test('places are told as people say them', () => {
  expect([1, 2, 3, 4, 10, 11, 12, 13, 21, 22, 101, 111, 112].map(ordinal)).toEqual([
    '1st',
    '2nd',
    '3rd',
    '4th',
    '10th',
    '11th',
    '12th',
    '13th',
    '21st',
    '22nd',
    '101st',
    '111th',
    '112th',
  ]);
});
