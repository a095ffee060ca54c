/** Pages of the list of backups: filters, order, marker. Promises: the same call gives the same page; a page never holds more
 *  than its limit. */

import { Fault } from '../base/faults.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackupRecord } from '../catalog/records.ts';
import type { CheckedParams } from '../protocol/methods.ts';

const sortKeys = [
  'id',
  'name',
  'status',
  'size_bytes',
  'size',
  'created_at',
  'updated_at',
  'data_timestamp',
  'volume_id',
  'volume_name',
  'project_id',
] as const;

export function pageOf(
  catalog: Catalog,
  params: CheckedParams<'backup.list'>,
  mayActFor: (project: string) => boolean,
): { backups: BackupRecord[]; next_marker: string | null } {
  const found: BackupRecord[] = [];
  for (const backup of catalog.all('backups')) {
    if (params.all_projects ? !mayActFor(backup.project_id) : backup.project_id !== params.project) continue;
    if (params.status !== undefined && backup.status !== params.status) continue;
    if (params.name !== undefined && backup.name !== params.name) continue;
    if (
      params.volume !== undefined &&
      backup.volume_id !== params.volume &&
      backup.volume_name !== params.volume
    )
      continue;
    found.push(backup);
  }
  found.sort(comparison(params.sort));
  let from = 0;
  if (params.marker !== undefined) {
    from = found.findIndex(({ id }) => id === params.marker) + 1;
    if (from === 0)
      throw new Fault(
        'BACKUP_UNKNOWN',
        `Cannot list backups after "${params.marker}": there is no such backup`,
      );
  }
  const backups = found.slice(from, from + params.limit);
  return { backups, next_marker: from + params.limit < found.length ? (backups.at(-1)?.id ?? null) : null };
}

/** `key[:asc|desc],…`; ties are broken by id, so that pages never overlap. */
function comparison(sort: string): (a: BackupRecord, b: BackupRecord) => number {
  const keys = sort.split(',').map((part) => {
    const [name = '', direction = 'desc'] = part.split(':');
    const key = sortKeys.find((known) => known === name);
    if (key === undefined) {
      throw new Fault('INVALID_ARGUMENT', `Cannot sort by "${name}": it is none of ${sortKeys.join(', ')}`);
    }
    return { key: key === 'size' ? ('size_bytes' as const) : key, sign: direction === 'asc' ? 1 : -1 };
  });
  return (a, b) => {
    for (const { key, sign } of keys) {
      const [left, right] = [a[key] ?? '', b[key] ?? ''];
      if (left !== right) return left < right ? -sign : sign;
    }
    return a.id < b.id ? -1 : 1;
  };
}
