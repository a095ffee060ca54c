/** When a plain line of progress is due. */

import { expect, test } from 'vitest';
import { lineProgress } from '../../../../client/output/progress.ts';
import { aJob } from '../../../support/fake-daemon.ts';

/** Lines that a run of [milliseconds, percent, phase] gives. */
function linesOf(moments: readonly (readonly [atMs: number, percent: number, phase?: string])[]): string[] {
  const lines: string[] = [];
  let nowMs = 0;
  const progress = lineProgress(
    (line) => lines.push(line.trimEnd()),
    () => nowMs,
  );
  for (const [atMs, percent, phase = 'copying'] of moments) {
    nowMs = atMs;
    progress.update(aJob({ phase, bytes_done: percent * 1024, bytes_total: 100 * 1024 }));
  }
  return lines;
}

test('a line comes at each change of phase, however fast', () => {
  expect(
    linesOf([
      [0, 0, 'reading'],
      [1, 1, 'writing'],
      [2, 2, 'writing'],
    ]),
  ).toEqual(['reading: 0 % of 100.0 KiB', 'writing: 1 % of 100.0 KiB']);
});

test('inside a phase a line needs five seconds and a tenth', () => {
  const lines = linesOf([
    [0, 0],
    [4999, 90],
    [5000, 9],
    [6000, 10],
    [10_999, 50],
    [11_000, 50],
  ]);
  expect(lines).toEqual([
    'copying: 0 % of 100.0 KiB',
    'copying: 10 % of 100.0 KiB',
    'copying: 50 % of 100.0 KiB',
  ]);
});

test('a slow job gives a sign of life each minute', () => {
  expect(
    linesOf([
      [0, 0],
      [59_999, 1],
      [60_000, 1],
    ]),
  ).toHaveLength(2);
});
