/** The table of reads through mounts, and its targets. */

import { type Results, type ViewKind, viewKinds } from '../results.ts';
import { table } from './table.ts';
import type { Verdict } from './targets.ts';
import { brief } from './units.ts';

export function viewTable(results: Results): string {
  const who = results.viewers();
  return table(
    ['', ...who],
    (Object.keys(viewKinds) as ViewKind[]).map((kind) => [
      viewKinds[kind],
      ...who.map((name) => {
        const value = results.view(kind, name);
        return value === undefined ? '' : brief(value);
      }),
    ]),
  );
}

export function judgeView(results: Results): Verdict[] {
  const ours = (kind: ViewKind) => results.view(kind, 'basalt');
  const share = (about: string, factor: number, value?: number, of?: number): Verdict => {
    const ratio = value === undefined || of === undefined ? undefined : value / of;
    return {
      about,
      target: `at least ${factor}`,
      measured: ratio === undefined ? undefined : brief(ratio),
      met: ratio === undefined ? undefined : ratio >= factor,
    };
  };
  const limit = (kind: ViewKind) => results.view(kind, 'c-fuse');
  const first = ours('firstByte');
  return [
    share(
      'view, cached in order: Basalt ÷ C program',
      0.6,
      ours('cachedSequential'),
      limit('cachedSequential'),
    ),
    share(
      'view, cached 4 KiB at random, 16 at a time: Basalt ÷ C program',
      0.5,
      ours('cachedRandom'),
      limit('cachedRandom'),
    ),
    share('view, cold in order: ÷ speed of a restore', 0.8, ours('coldSequential'), ours('restore')),
    {
      about: 'view, first page of a file in a backup of 1 TiB, nothing in memory, ms',
      target: 'under 100',
      measured: first === undefined ? undefined : brief(first),
      met: first === undefined ? undefined : first < 100,
    },
  ];
}
