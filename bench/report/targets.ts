/** The targets of the data path, as pure functions of the results. Promises: what was not measured is not judged. */

import { MiB } from '../../daemon/base/bytes.ts';
import type { Summary } from '../measure/sample.ts';
import type { Results, RowName } from '../results.ts';
import { brief, cpuPerGib } from './units.ts';

export interface Verdict {
  readonly about: string;
  readonly target: string;
  /** Undefined where a contestant was absent. */
  readonly measured: string | undefined;
  readonly met: boolean | undefined;
}

/** Resident memory that a daemon may take besides its `memory_limit`. */
const baseBytes = 96 * MiB;

type Amount = (summary: Summary) => number;
const seconds: Amount = (summary) => summary.seconds;

export function judge(results: Results): Verdict[] {
  const ratio = (
    about: string,
    bound: 'at most' | 'at least',
    factor: number,
    of: readonly [RowName, string],
    over: readonly [RowName, string],
    amount: Amount = seconds,
  ): Verdict => {
    const [above, below] = [results.of(...of), results.of(...over)];
    const value = above && below && amount(above) / amount(below);
    const met = value === undefined ? undefined : bound === 'at most' ? value <= factor : value >= factor;
    return {
      about,
      target: `${bound} ${factor}`,
      measured: value === undefined ? undefined : brief(value),
      met,
    };
  };
  const faster = (row: RowName, what: string, factors: Readonly<Record<string, number>>): Verdict[] =>
    Object.entries(factors).map(([peer, factor]) =>
      ratio(`${what}, seconds: ${peer} ÷ Basalt`, 'at least', factor, [row, peer], [row, 'basalt']),
    );
  const ours = (row: RowName): [RowName, string] => [row, 'basalt'];
  return [
    ratio('full backup, seconds: Basalt ÷ limit', 'at most', 1.15, ours('full'), ['full', 'limit']),
    ...faster('full', 'full backup', { 'cinder-zlib': 15, 'cinder-zstd': 4, borg: 3, restic: 8 }),
    ratio(
      'full backup, CPU seconds: Basalt ÷ limit',
      'at most',
      1.2,
      ours('full'),
      ['full', 'limit'],
      cpuPerGib,
    ),
    ratio(
      'unchanged incremental, speed: Basalt ÷ only reading and hashing',
      'at least',
      0.85,
      ['unchanged', 'hash'],
      ours('unchanged'),
    ),
    ...faster('unchanged', 'unchanged incremental', {
      'cinder-zlib': 8,
      'cinder-zstd': 8,
      'cinder-none': 8,
      borg: 10,
      restic: 20,
    }),
    ratio(
      '1 % scattered, bytes stored: Basalt ÷ what the changed blocks compress to (limit)',
      'at most',
      1.05,
      ours('scattered'),
      ['scattered', 'limit'],
      (summary) => summary.storedBytes ?? Number.NaN,
    ),
    ratio('1 % scattered, seconds: ÷ unchanged', 'at most', 1.3, ours('scattered'), ours('unchanged')),
    ratio('restore to new, seconds: Basalt ÷ limit', 'at most', 1.2, ours('restoreNew'), [
      'restoreNew',
      'limit',
    ]),
    ratio('restore over existing, seconds: Basalt ÷ limit', 'at most', 1.2, ours('restoreOver'), [
      'restoreOver',
      'limit',
    ]),
    ...faster('restoreNew', 'restore', { 'cinder-zstd': 2, borg: 3, restic: 6 }),
    memory(results, 'basalt', 256 * MiB),
    memory(results, 'basalt-64', 64 * MiB),
    lateness(results, 'basalt'),
    lateness(results, 'basalt-64'),
    ratio('full backup, speed: 64 MiB ÷ 256 MiB', 'at least', 0.7, ours('full'), ['full', 'basalt-64']),
    ratio('restore, speed: 64 MiB ÷ 256 MiB', 'at least', 0.7, ours('restoreNew'), [
      'restoreNew',
      'basalt-64',
    ]),
    ratio('sparse file, seconds: ÷ plain file', 'at most', 2, ours('sparseFile'), ours('plainFile')),
    ratio(
      'CPU seconds a GiB of data: 16 TiB sparse file ÷ plain file',
      'at most',
      1.2,
      ours('sparseFile'),
      ours('plainFile'),
      cpuPerGib,
    ),
    ...(['full', 'unchanged'] as const).flatMap((kind) =>
      scaleAmounts.map(([what, amount]) => {
        const about = `${scaleKinds[kind]}, ${what} a block of data: sparse volume of 1 TiB ÷ of 1 GiB`;
        return ratio(about, 'at most', 1.2, ours(`${kind}1024`), ours(`${kind}1`), amount);
      }),
    ),
  ];
}

const scaleKinds = { full: 'full backup', unchanged: 'unchanged incremental' } as const;
/** The data is the same in all sizes, and so is the number of its blocks. */
const scaleAmounts: readonly [string, Amount][] = [
  ['seconds', seconds],
  ['CPU seconds', cpuPerGib],
];

function memory(results: Results, name: string, limitBytes: number): Verdict {
  const highest = results.highest(name, ({ highestRssBytes }) => highestRssBytes);
  const bound = limitBytes + baseBytes;
  return {
    about: `${name}, most resident MiB in any row and round`,
    target: `at most ${bound / MiB}`,
    measured: highest && `${brief(highest.value / MiB)} (${highest.row})`,
    met: highest && highest.value <= bound,
  };
}

function lateness(results: Results, name: string): Verdict {
  const highest = results.highest(name, ({ highestLoopP99Ms }) => highestLoopP99Ms);
  return {
    about: `${name}, p99 of the event loop’s delay in ms, worst row and round`,
    target: 'under 20',
    measured: highest && `${brief(highest.value)} (${highest.row})`,
    met: highest && highest.value < 20,
  };
}
