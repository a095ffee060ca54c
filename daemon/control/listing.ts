/** Pages of the list of backups: filters, order, marker. Promises: the same call gives the same page; a page never holds more
 *  than its limit. */

import { Fault } from '../base/faults.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackupRecord } from '../catalog/records.ts';
import { backupStatus } from '../catalog/statuses.ts';
import type { CheckedParams } from '../protocol/methods.ts';

/** A backup that was deleted is not there to be listed. */
const shownStatuses = backupStatus.statuses.filter((status) => status !== 'deleted');
/** openstackclient offers a word more to filter by, which is one of volumes: no backup is ever in it. */
const filterStatuses: readonly string[] = [...shownStatuses, 'deleted', 'error_restoring'];

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
  const { marker, limit, sort } = params;
  const isSeen = ({ project_id }: BackupRecord) =>
    params.all_projects ? mayActFor(project_id) : project_id === params.project;
  const known = marker === undefined ? undefined : catalog.get('backups', marker);
  // A marker of another project is as unknown as one that never was.
  const last = known !== undefined && isSeen(known) ? known : undefined;
  if (marker !== undefined && last === undefined) {
    throw new Fault('BACKUP_UNKNOWN', `Cannot list backups after "${marker}": there is no such backup`);
  }
  const isWanted = wanted(params, mayActFor);
  requireKnownFilters(catalog, params, mayActFor);
  // The catalog has this order ready: nothing behind the page is read.
  const ready =
    sort === 'created_at:desc' || sort === 'created_at'
      ? catalog.backups.newestFirst(last)
      : sort === 'created_at:asc'
        ? catalog.backups.oldestFirst(last)
        : sorted([...catalog.all('backups')].filter(isWanted), sort, last);
  const backups: BackupRecord[] = [];
  for (const backup of ready) {
    if (!isWanted(backup)) continue;
    if (backups.length === limit) return { backups, next_marker: backups.at(-1)?.id ?? null };
    backups.push(backup);
  }
  return { backups, next_marker: null };
}

const wanted =
  (params: CheckedParams<'backup.list'>, mayActFor: (project: string) => boolean) =>
  (backup: BackupRecord): boolean =>
    (params.all_projects ? mayActFor(backup.project_id) : backup.project_id === params.project) &&
    (params.status === undefined || backup.status === params.status) &&
    (params.name === undefined || backup.name === params.name) &&
    (params.volume === undefined ||
      backup.volume_id === params.volume ||
      backup.volume_name === params.volume);

/** A mistyped filter must not look like an empty list. INVALID_ARGUMENT, VOLUME_UNKNOWN. */
function requireKnownFilters(
  catalog: Catalog,
  params: CheckedParams<'backup.list'>,
  mayActFor: (project: string) => boolean,
): void {
  const { status, volume, project, all_projects } = params;
  if (status !== undefined && !filterStatuses.includes(status)) {
    throw new Fault('INVALID_ARGUMENT', `Cannot list backups of status "${status}": there is none`, {
      hint: `A backup is one of: ${shownStatuses.join(', ')}`,
    });
  }
  if (volume === undefined) return;
  const isSeen = (owner: string) => (all_projects ? mayActFor(owner) : owner === project);
  for (const { id, name, project_id } of catalog.all('volumes'))
    if ((id === volume || name === volume) && isSeen(project_id)) return;
  // A volume that was forgotten has its backups still.
  for (const backup of catalog.backups.ofVolume(volume)) if (isSeen(backup.project_id)) return;
  for (const { volume_name, project_id } of catalog.all('backups'))
    if (volume_name === volume && isSeen(project_id)) return;
  throw new Fault('VOLUME_UNKNOWN', `Cannot find volume "${volume}"`);
}

/** In the order of `sort`, from behind `last` on. */
function sorted(backups: BackupRecord[], sort: string, last: BackupRecord | undefined): BackupRecord[] {
  const compare = comparison(sort);
  backups.sort(compare);
  return last === undefined ? backups : backups.filter((backup) => compare(backup, last) > 0);
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
    return a.id === b.id ? 0 : a.id < b.id ? -1 : 1;
  };
}
