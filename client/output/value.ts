/** Bare values for shell scripts: a list has one line a value with spaces between the columns, one value has one line a
 *  field. Pure. */

import { exactText } from './text.ts';

export const listValues = (
  keys: readonly string[],
  rows: readonly Readonly<Record<string, unknown>>[],
): string => rows.map((row) => `${keys.map((key) => exactText(row[key])).join(' ')}\n`).join('');

export const fieldValues = (value: Readonly<Record<string, unknown>>): string =>
  Object.values(value)
    .map((inner) => `${exactText(inner)}\n`)
    .join('');
