/** Keys by which backups are found without reading all of them: in the order of their making, by volume, by name, and those
 *  that are in the middle of something. Pure.
 *  Promises: the keys follow from the record alone, so that old keys can be removed with the old record. */

import type { BackupRecord } from './records.ts';

/** Below every part of a key and above it. */
export const lowest = '';
export const highest = '\uffff';

export type OrderKey =
  | readonly ['made', string, string]
  | readonly ['volume', string, string, string]
  | readonly ['name', string, string]
  | readonly ['unsettled', string];

/** Statuses in which nothing goes on. */
const settled: ReadonlySet<string> = new Set(['available', 'error', 'error_deleting', 'deleted']);

/** A name is cut: keys have a bounded length, and whoever looks compares the whole name. */
export const nameKey = (name: string): string => name.slice(0, 200);

export function orderKeys(backup: BackupRecord): OrderKey[] {
  const keys: OrderKey[] = [
    ['made', backup.created_at, backup.id],
    ['volume', backup.volume_id, backup.created_at, backup.id],
  ];
  if (backup.name !== null) keys.push(['name', nameKey(backup.name), backup.id]);
  if (!settled.has(backup.status)) keys.push(['unsettled', backup.id]);
  return keys;
}
