/** Tables for people, in the ASCII frames that openstackclient draws. Pure. */

import Table from 'cli-table3';
import { flatten, type Titles } from './columns.ts';
import { humanText, printable } from './text.ts';

const frame = {
  top: '-',
  'top-mid': '+',
  'top-left': '+',
  'top-right': '+',
  bottom: '-',
  'bottom-mid': '+',
  'bottom-left': '+',
  'bottom-right': '+',
  left: '|',
  'left-mid': '+',
  mid: '-',
  'mid-mid': '+',
  right: '|',
  'right-mid': '+',
  middle: '|',
} as const;

/** A line between the rows says nothing: only the one under the titles stays. */
function draw(head: string[], rows: string[][], colAligns: ('left' | 'right')[]): string {
  const table = new Table({ head, colAligns, chars: frame, style: { head: [], border: [], compact: true } });
  table.push(...rows);
  return `${table.toString()}\n`;
}

/** One row a value. A column that holds only numbers is aligned at the right. */
export function listTable(
  keys: readonly string[],
  titles: Titles,
  rows: readonly Readonly<Record<string, unknown>>[],
): string {
  if (rows.length === 0) return '';
  const isNumeric = (key: string): boolean => rows.every((row) => typeof row[key] === 'number');
  return draw(
    keys.map((key) => printable(titles[key] ?? key)),
    rows.map((row) => keys.map((key) => humanText(key, row[key]))),
    keys.map((key) => (isNumeric(key) ? 'right' : 'left')),
  );
}

/** Two columns, Field and Value; what is nested becomes fields with a dot. */
export function fieldTable(value: Readonly<Record<string, unknown>>): string {
  const rows = flatten(value).map(([key, inner]) => [printable(key), humanText(key, inner)]);
  return draw(['Field', 'Value'], rows, ['left', 'left']);
}
