/** Writes `RESULTS.md` and its plots from what one run has measured, and from nothing else. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MiB } from '../../daemon/base/bytes.ts';
import type { Contestant } from '../contestants/contestant.ts';
import type { Images } from '../data/images.ts';
import type { Summary } from '../measure/sample.ts';
import type { Options, Part } from '../options.ts';
import { type Results, type RowName, rows } from '../results.ts';
import { indexTable } from './index-page.ts';
import { aboutRun } from './machine.ts';
import { plotBars } from './plot.ts';
import { isScaleRow, scaleTable } from './scale.ts';
import { table, textTable } from './table.ts';
import { judge } from './targets.ts';
import { brief, cpuPerGib, fixed, gibibytes, mebibytes, throughput } from './units.ts';
import { judgeView, viewTable } from './view.ts';

export interface ReportParts {
  readonly results: Results;
  readonly options: Options;
  readonly contestants: readonly Contestant[];
  /** Absent where nothing was measured with them. */
  readonly images: Images | undefined;
  /** How long the run took. */
  readonly seconds: number;
}

export async function writeReport(parts: ReportParts): Promise<void> {
  const { out } = parts.options;
  await mkdir(out, { recursive: true });
  const names: string[] = [];
  for (const { file, title, row, unit, of } of plots) {
    const measured = parts.results.row(row).filter(({ summary }) => Number.isFinite(of(summary)));
    if (measured.length === 0) continue;
    const bars = measured.map(({ name, summary }) => ({
      name,
      value: of(summary),
      label: brief(of(summary)),
    }));
    await writeFile(join(out, file), plotBars(title, unit, bars));
    names.push(`![${title}](${file})`);
  }
  await writeFile(join(out, 'RESULTS.md'), page(parts, names));
}

const plots: readonly {
  file: string;
  title: string;
  row: RowName;
  unit: string;
  of: (summary: Summary) => number;
}[] = [
  { file: 'full-speed.svg', title: rows.full, row: 'full', unit: 'MiB/s; more is better', of: throughput },
  {
    file: 'full-cpu.svg',
    title: rows.full,
    row: 'full',
    unit: 'CPU seconds a GiB; less is better',
    of: cpuPerGib,
  },
  {
    file: 'full-memory.svg',
    title: rows.full,
    row: 'full',
    unit: 'peak resident MiB of the process tree; less is better',
    of: ({ peakRssBytes }) => peakRssBytes / MiB,
  },
  {
    file: 'unchanged-speed.svg',
    title: rows.unchanged,
    row: 'unchanged',
    unit: 'MiB/s; more is better',
    of: throughput,
  },
  {
    file: 'scattered-stored.svg',
    title: rows.scattered,
    row: 'scattered',
    unit: 'MiB stored; less is better',
    of: ({ storedBytes }) => (storedBytes ?? Number.NaN) / MiB,
  },
  {
    file: 'restore-speed.svg',
    title: rows.restoreNew,
    row: 'restoreNew',
    unit: 'MiB/s; more is better',
    of: throughput,
  },
];

function page(parts: ReportParts, plotLines: readonly string[]): string {
  const { results } = parts;
  const sections = (Object.keys(rows) as RowName[])
    .filter((row) => results.row(row).length > 0 && !isScaleRow(row))
    .map((row) => `### ${rows[row]}\n\n${rowTable(results, row)}`);
  return `${[
    '# Results of `make bench`',
    'Written by the program; every number was measured in the one run that is described here.',
    '## The run',
    aboutRun(parts.options, parts.seconds, [
      ['rounds', String(parts.options.rounds)],
      ...aboutImage(parts.images),
    ]),
    '## Targets',
    textTable(
      ['what', 'target', 'measured', ''],
      [...judge(results), ...judgeView(results)].map(({ about, target, measured, met }) => [
        about,
        target,
        measured ?? 'not measured',
        met === undefined ? '' : met ? 'met' : '**missed**',
      ]),
    ),
    '## Who took part',
    aboutContestants(parts),
    '## Rows',
    notes(),
    ...sections,
    ...tables(parts),
    '## Plots',
    ...plotLines,
  ].join('\n\n')}\n`;
}

const aboutImage = (images: Images | undefined): [string, string][] =>
  images === undefined ? [] : [['image', `${gibibytes(images.bytes)}: ${images.about}`]];

/** What is no row: only of what was measured. */
function tables({ results, options, images }: ReportParts): string[] {
  const takes = (part: Part, title: string, made: () => string): string[] =>
    options.parts.includes(part) ? [`### ${title}`, made()] : [];
  return [
    ...takes('scale', 'The same data in sparse volumes of different sizes', () => scaleTable(results)),
    ...(images === undefined || !options.parts.includes('volume')
      ? []
      : ['### Bytes stored for each byte rewritten', amplificationTable(results, images)]),
    ...takes('volume', 'Random reads of 4 KiB from the image of a backup in the view', () =>
      readTable(results),
    ),
    ...takes('view', 'Reading backups through their mounts', () => viewTable(results)),
    ...takes('index', 'Index of blocks', () => indexTable(results)),
  ];
}

function aboutContestants({ contestants, results }: ReportParts): string {
  return textTable(
    ['name', ''],
    [
      ...contestants.map(({ name, about }) => [name, about]),
      ...[...results.absent].map(([name, why]) => [name, why]),
    ],
  );
}

const notes = (): string =>
  [
    'Medians of all rounds, who took part in turn; seconds with the fastest and slowest round. Throughput counts bytes of',
    'the volume. CPU seconds and resident memory are those of the whole process tree; for Basalt, of the daemon. The peak',
    'is the most that was seen in all processes together, looked at every 40 ms or oftener, or the high-water mark of the first one;',
    'pages that processes share count in each. Everything restored was compared with the image.',
  ].join('\n');

function rowTable(results: Results, row: RowName): string {
  const measured = results.row(row);
  const own = results.of(row, 'basalt')?.seconds;
  return table(
    [
      '',
      'seconds',
      'fastest – slowest',
      'MiB/s',
      'CPU s',
      'CPU s/GiB',
      'peak RSS MiB',
      'stored MiB',
      'loop p99 ms',
      '× Basalt’s time',
    ],
    measured.map(({ name, summary }) => [
      name,
      fixed(summary.seconds, 2),
      `${fixed(summary.fastestSeconds, 2)} – ${fixed(summary.slowestSeconds, 2)}`,
      brief(throughput(summary)),
      fixed(summary.cpuSeconds, 2),
      fixed(cpuPerGib(summary), 2),
      mebibytes(summary.peakRssBytes),
      summary.storedBytes === undefined ? '' : mebibytes(summary.storedBytes),
      summary.loopP99Ms === undefined ? '' : fixed(summary.loopP99Ms, 1),
      own === undefined ? '' : fixed(summary.seconds / own, 2),
    ]),
  );
}

/** What the block size makes of small writes. Half of what was rewritten does not compress. */
function amplificationTable(results: Results, images: Images): string {
  const cell = (row: 'scattered' | 'clustered', name: string): string => {
    const stored = results.of(row, name)?.storedBytes;
    return stored === undefined ? '' : brief(stored / images.rewrittenBytes[row]);
  };
  const names = results
    .row('scattered')
    .flatMap(({ name, summary }) => (summary.storedBytes === undefined ? [] : [name]));
  return table(
    [
      '',
      `scattered (${mebibytes(images.rewrittenBytes.scattered)} MiB)`,
      `in runs (${mebibytes(images.rewrittenBytes.clustered)} MiB)`,
    ],
    names.map((name) => [name, cell('scattered', name), cell('clustered', name)]),
  );
}

function readTable(results: Results): string {
  return table(
    ['', 'reads', 'reads/s', 'median µs', 'p99 µs', 'slowest µs'],
    results
      .reads()
      .map(({ pass, what, sample }) => [
        `${what}, ${pass}`,
        String(sample.count),
        fixed(sample.count / sample.seconds, 0),
        fixed(sample.medianUs, 1),
        fixed(sample.p99Us, 1),
        fixed(sample.slowestUs, 1),
      ]),
  );
}
