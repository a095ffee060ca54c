/** What a block of data costs in sparse volumes of different sizes, and how that compares with the smallest of them. */

import type { Summary } from '../measure/sample.ts';
import { type Results, type RowName, rows, scaleGibibytes } from '../results.ts';
import { table } from './table.ts';
import { brief, cpuPerGib, mebibytes } from './units.ts';

const kinds = ['full', 'unchanged'] as const;
const scaleRows: readonly RowName[] = kinds.flatMap((kind) =>
  scaleGibibytes.map((size) => `${kind}${size}` as const),
);
export const isScaleRow = (row: RowName): boolean => scaleRows.includes(row);

/** Bytes of a block, as `repository.init` has it where nobody says otherwise. */
const blockBytes = 65536;
const microseconds = (summary: Summary): number => (summary.seconds / (summary.bytes / blockBytes)) * 1e6;
const cpuMicroseconds = (summary: Summary): number => (cpuPerGib(summary) / (2 ** 30 / blockBytes)) * 1e6;

export function scaleTable(results: Results): string {
  const lines = scaleRows.flatMap((row) =>
    results.row(row).map(({ name, summary }) => {
      const smallest = results.of(row.startsWith('full') ? 'full1' : 'unchanged1', name);
      const against = (amount: (of: Summary) => number): string =>
        smallest === undefined ? '' : brief(amount(summary) / amount(smallest));
      return [
        `${name}, ${rows[row]}`,
        mebibytes(summary.bytes),
        brief(microseconds(summary)),
        against(microseconds),
        brief(cpuMicroseconds(summary)),
        against(cpuMicroseconds),
        mebibytes(summary.peakRssBytes),
      ];
    }),
  );
  return table(['', 'data MiB', 'µs a block', '× 1 GiB', 'CPU µs a block', '× 1 GiB', 'peak RSS MiB'], lines);
}
