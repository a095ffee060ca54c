/** Which columns are shown, and under which titles. `-c` takes a key as JSON has it (`created_at`) or a title as the
 *  table has it ("Created At"). Promises: a column that is not there is a usage fault that names the ones that are. Pure. */

import { Fault } from '../../daemon/protocol/faults.ts';
import { isRecord } from './text.ts';

/** Keys of a listed value in the order of `--long`, each with its title. */
export type Titles = Readonly<Record<string, string>>;

const normal = (text: string): string =>
  text
    .trim()
    .toLowerCase()
    .replaceAll(/[\s-]+/g, '_');

const unknownColumn = (wanted: string, known: readonly string[]): Fault =>
  new Fault('USAGE', `Cannot show column "${wanted}": there is none of this name`, {
    hint: `Choose from: ${known.join(', ')}`,
  });

/** The key that `wanted` means. An exact key wins over a title, so that every key can be reached. */
function findKey(wanted: string, keys: readonly string[], titles: Titles): string | undefined {
  if (keys.includes(wanted)) return wanted;
  const byTitle = keys.find((key) => normal(titles[key] ?? key) === normal(wanted));
  return byTitle ?? keys.find((key) => normal(key) === normal(wanted));
}

/** Keys to show of a list: `initial`, or what `-c` asked for, in the order it was asked. */
export function chooseColumns(
  wanted: readonly string[],
  initial: readonly string[],
  titles: Titles,
  rows: readonly Readonly<Record<string, unknown>>[],
): string[] {
  if (wanted.length === 0) return [...initial];
  // A newer daemon may send keys that we have no title for: they can be asked for all the same.
  const keys = [...new Set([...Object.keys(titles), ...rows.flatMap((row) => Object.keys(row))])];
  return wanted.map((one) => {
    const key = findKey(one, keys, titles);
    if (key === undefined) throw unknownColumn(one, keys);
    return key;
  });
}

/** The fields of one value that `-c` asked for. A dot reaches into a nested value: `memory.limit_bytes`. */
export function chooseFields(
  wanted: readonly string[],
  value: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  if (wanted.length === 0) return { ...value };
  return Object.fromEntries(
    wanted.map((one) => {
      const key = findKey(one, Object.keys(value), {});
      if (key !== undefined) return [key, value[key]];
      const nested = flatten(value).find(([path]) => normal(path) === normal(one));
      if (nested === undefined) throw unknownColumn(one, Object.keys(value));
      return nested;
    }),
  );
}

/** `{a: {b: 1}}` → `[['a.b', 1]]`. An empty value inside stays itself. */
export function flatten(value: Readonly<Record<string, unknown>>, prefix = ''): [string, unknown][] {
  return Object.entries(value).flatMap(([key, inner]): [string, unknown][] =>
    isRecord(inner) && Object.keys(inner).length > 0
      ? flatten(inner, `${prefix}${key}.`)
      : [[`${prefix}${key}`, inner]],
  );
}
