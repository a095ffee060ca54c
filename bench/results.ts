/** Everything that a run has measured, by row and contestant. Knows nothing of how it is shown. */

import type { Sample, Summary } from './measure/sample.ts';
import { median, summarise } from './measure/sample.ts';

/** Sizes of the sparse volumes that hold the same amount of data. */
export const scaleGibibytes = [1, 16, 256, 1024] as const;
export type ScaleGibibytes = (typeof scaleGibibytes)[number];

export const rows = {
  full: 'Full backup',
  unchanged: 'Incremental, nothing changed',
  scattered: 'Incremental, 1 % of the 4 KiB pages rewritten, scattered',
  clustered: 'Incremental, 1 % of the pages rewritten, in runs of 256 KiB',
  restoreNew: 'Restore to a new file',
  restoreOver: 'Restore over an existing file with other contents',
  manyBackups: '15 backups at once, incompressible',
  manyRestores: '15 restores at once, incompressible',
  plainFile: 'Full backup of the sparse file’s data as a plain file',
  sparseFile: 'Full backup of a 16 TiB sparse file',
  full1: 'Full backup of a sparse volume of 1 GiB',
  full16: 'Full backup of a sparse volume of 16 GiB',
  full256: 'Full backup of a sparse volume of 256 GiB',
  full1024: 'Full backup of a sparse volume of 1 TiB',
  unchanged1: 'Unchanged incremental of a sparse volume of 1 GiB',
  unchanged16: 'Unchanged incremental of a sparse volume of 16 GiB',
  unchanged256: 'Unchanged incremental of a sparse volume of 256 GiB',
  unchanged1024: 'Unchanged incremental of a sparse volume of 1 TiB',
} as const;
export type RowName = keyof typeof rows;

/** Random reads of 4 KiB: seconds of the pass, microseconds of a read. */
export interface ReadSample {
  readonly count: number;
  readonly seconds: number;
  readonly medianUs: number;
  readonly p99Us: number;
  readonly slowestUs: number;
}

/** What is read from a file that a program serves, and in what it is told. */
export const viewKinds = {
  cachedSequential: 'in order, from the memory of the server, MiB/s',
  cachedRandom: '4 KiB at random, 16 at a time, from the memory of the server, reads/s',
  coldSequential: 'all of the image in order, nothing in memory, MiB/s',
  restore: 'the same backup restored to a new file, MiB/s',
  firstByte:
    'opening a file inside the file system of a backup of 1 TiB and reading its first page, daemon just started, ms',
} as const;
export type ViewKind = keyof typeof viewKinds;

export interface IndexSample {
  readonly entries: number;
  /** A look-up of what is there, nothing of the index in the page cache. */
  readonly coldUs: number;
  /** With the index in the page cache. */
  readonly knownUs: number;
  readonly knownCpuUs: number;
  readonly unknownUs: number;
  readonly unknownCpuUs: number;
  /** A pack of 1024 random addresses, until it is flushed: median, and 99 times of 100 less. */
  readonly addPackMs: number;
  readonly addPackP99Ms: number;
  readonly diskBytes: number;
  /** Most that the process grew by while all that was done. */
  readonly residentBytes: number;
  readonly openMs: number;
}

export class Results {
  readonly #samples = new Map<string, Sample[]>();
  readonly #reads = new Map<string, ReadSample[]>();
  readonly #views = new Map<string, number[]>();
  readonly index: IndexSample[] = [];
  /** Contestants that could not take part, and why. */
  readonly absent = new Map<string, string>();

  add(row: RowName, contestant: string, sample: Sample | undefined): void {
    if (sample !== undefined) push(this.#samples, `${row} ${contestant}`, sample);
  }

  addRead(pass: 'first' | 'repeated', what: string, sample: ReadSample): void {
    push(this.#reads, `${pass} ${what}`, sample);
  }

  addView(kind: ViewKind, who: string, value: number): void {
    push(this.#views, `${kind} ${who}`, value);
  }

  view(kind: ViewKind, who: string): number | undefined {
    const values = this.#views.get(`${kind} ${who}`);
    return values === undefined ? undefined : median(values);
  }

  /** Everybody whose reads were measured, in the order in which they first came. */
  viewers(): string[] {
    return [...new Set([...this.#views.keys()].map((key) => key.split(' ')[1] ?? ''))];
  }

  of(row: RowName, contestant: string): Summary | undefined {
    const samples = this.#samples.get(`${row} ${contestant}`);
    return samples === undefined ? undefined : summarise(samples);
  }

  /** Everybody in the row, in the order in which they first came. */
  row(row: RowName): { name: string; summary: Summary }[] {
    return [...this.#samples].flatMap(([key, samples]) => {
      const [rowName, name = ''] = key.split(' ');
      return rowName === row ? [{ name, summary: summarise(samples) }] : [];
    });
  }

  reads(): { pass: string; what: string; sample: ReadSample }[] {
    return [...this.#reads].map(([key, samples]) => {
      const [pass = '', what = ''] = key.split(' ');
      const of = (value: (sample: ReadSample) => number) => median(samples.map(value));
      const sample = {
        count: of(({ count }) => count),
        seconds: of(({ seconds }) => seconds),
        medianUs: of(({ medianUs }) => medianUs),
        p99Us: of(({ p99Us }) => p99Us),
        slowestUs: of(({ slowestUs }) => slowestUs),
      };
      return { pass, what, sample };
    });
  }

  /** The most that a contestant came to in any row; undefined where it was not measured. */
  highest(
    contestant: string,
    amount: (summary: Summary) => number | undefined,
  ): { row: RowName; value: number } | undefined {
    const all = (Object.keys(rows) as RowName[]).flatMap((row) => {
      const summary = this.of(row, contestant);
      const value = summary && amount(summary);
      return value === undefined ? [] : [{ row, value }];
    });
    return all.sort((a, b) => b.value - a.value)[0];
  }
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
