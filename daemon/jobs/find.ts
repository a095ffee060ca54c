/** Finds volumes, snapshots and backups by id or name, within a project. BACKUP_UNKNOWN, VOLUME_UNKNOWN, AMBIGUOUS_NAME.
 *  Promises: another project's things are not there; of several that have one name none is guessed: the fault lists them. Changes
 *  nothing. */

import { Fault } from '../base/faults.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackupRecord, SnapshotRecord, VolumeRecord } from '../catalog/records.ts';
import type { Services } from './services.ts';

/** How many of one name a fault tells of. */
const listedMax = 5;

interface Named {
  readonly id: string;
  readonly name: string | null;
  readonly project_id: string;
}

function find<T extends Named>(
  all: Iterable<T>,
  known: T | undefined,
  reference: string,
  project: string,
): T[] {
  if (known !== undefined && known.project_id === project) return [known];
  const named: T[] = [];
  for (const record of all)
    if (record.name === reference && record.project_id === project) named.push(record);
  return named;
}

export function findVolume(catalog: Catalog, reference: string, project: string): VolumeRecord {
  const [volume] = find(catalog.all('volumes'), catalog.get('volumes', reference), reference, project);
  if (volume === undefined) throw new Fault('VOLUME_UNKNOWN', `Cannot find volume "${reference}"`);
  return volume;
}

/** For an administrator, who may back up a volume of another project on behalf of his own: a volume of his project goes first. */
export function findVolumeAnywhere(catalog: Catalog, reference: string, project: string): VolumeRecord {
  const known = catalog.get('volumes', reference);
  if (known !== undefined) return known;
  const named = [...catalog.all('volumes')].filter(({ name }) => name === reference);
  const [volume, another] = named;
  const own = named.find(({ project_id }) => project_id === project);
  if (own !== undefined) return own;
  if (volume === undefined) throw new Fault('VOLUME_UNKNOWN', `Cannot find volume "${reference}"`);
  if (another === undefined) return volume;
  const listed = named.slice(0, listedMax).map(({ id, project_id }) => `${id} (project ${project_id})`);
  throw new Fault(
    'AMBIGUOUS_NAME',
    `Cannot tell which volume "${reference}" is: ${named.length} projects have one: ${listed.join(', ')}`,
  );
}

/** A snapshot, of `volume` where one is given. A name counts for the volume only, an id everywhere. */
export function findSnapshot(
  catalog: Catalog,
  reference: string,
  project: string,
  volume?: VolumeRecord,
): SnapshotRecord {
  const known = catalog.get('snapshots', reference);
  const found = find(catalog.all('snapshots'), known, reference, project);
  const [snapshot, another] =
    volume === undefined ? found : found.filter(({ volume_id }) => volume_id === volume.id);
  if (snapshot === undefined) {
    const where = volume === undefined ? '' : ` of volume "${volume.name}"`;
    throw new Fault('SNAPSHOT_UNKNOWN', `Cannot find snapshot "${reference}"${where}`);
  }
  if (another === undefined) return snapshot;
  throw ambiguous('snapshot', reference, found);
}

/** To be changed or deleted: whoever means the one that failed must not lose the one that is whole. */
export function findBackup(catalog: Catalog, reference: string, project: string): BackupRecord {
  const found = backupsCalled(catalog, reference, project);
  const [backup, another] = found;
  if (backup === undefined) throw new Fault('BACKUP_UNKNOWN', `Cannot find backup "${reference}"`);
  if (another !== undefined) throw ambiguous('backup', reference, found);
  return backup;
}

/** To be read: where only one of the name has data it is that one, whatever has failed under the same name. */
export function findBackupToRead(catalog: Catalog, reference: string, project: string): BackupRecord {
  const [readable, another] = backupsCalled(catalog, reference, project).filter(isReadable);
  return readable !== undefined && another === undefined ? readable : findBackup(catalog, reference, project);
}

const backupsCalled = (catalog: Catalog, reference: string, project: string): BackupRecord[] =>
  find(catalog.backups.named(reference), catalog.get('backups', reference), reference, project);

/** The newest are named: an old one of the name is rarely meant. */
function ambiguous(
  what: string,
  reference: string,
  all: readonly { readonly id: string; readonly status: string; readonly created_at: string }[],
): Fault {
  const newest = [...all].sort((a, b) => (a.created_at < b.created_at ? 1 : -1)).slice(0, listedMax);
  const listed = newest.map(({ id, status, created_at }) => `${id} (${status}, made ${created_at})`);
  const older = all.length - newest.length;
  if (older > 0) listed.push(`and ${older} older ones`);
  return new Fault(
    'AMBIGUOUS_NAME',
    `Cannot tell which ${what} "${reference}" is: ${all.length} have that name: ${listed.join(', ')}`,
    { details: { candidates: newest.map(({ id, status, created_at }) => ({ id, status, created_at })) } },
  );
}

/** The backups that can't be read without this one. */
function* dependents(
  { catalog, repositories }: Pick<Services, 'catalog' | 'repositories'>,
  backup: BackupRecord,
): Iterable<BackupRecord> {
  if (repositories.known(backup.repository).kind === 'native') return;
  for (const other of catalog.backups.ofVolume(backup.volume_id)) {
    if (other.parent_id === backup.id && other.repository === backup.repository) yield other;
  }
}

/** One of the backups that can't be read without this one. */
export function dependentOf(
  services: Pick<Services, 'catalog' | 'repositories'>,
  backup: BackupRecord,
): BackupRecord | undefined {
  for (const other of dependents(services, backup)) return other;
  return undefined;
}

/** How many there are, as Cinder counts them: those that are whole. */
export function dependentsOf(
  services: Pick<Services, 'catalog' | 'repositories'>,
  backup: BackupRecord,
): number {
  let count = 0;
  for (const { status } of dependents(services, backup)) if (status === 'available') count += 1;
  return count;
}

const isReadable = ({ status }: BackupRecord): boolean => status === 'available' || status === 'restoring';

/** BACKUP_BUSY unless the backup can be read now. */
export function requireReadable(backup: BackupRecord, what: string): void {
  if (isReadable(backup)) return;
  const message = `Cannot ${what} backup "${backup.id}": its status is "${backup.status}"`;
  throw backup.status === 'creating' || backup.status === 'deleting'
    ? new Fault('BACKUP_BUSY', message)
    : new Fault('BACKUP_UNKNOWN', message, {
        hint: 'Only an available backup has data: basaltctl backup list',
      });
}

/** BACKUP_BUSY, BACKUP_UNKNOWN where the backup has been deleted since it was found, or is about to be: the record of a job
 *  comes into the catalog a little after the job. Whoever calls it awaits nothing between it and the begin of his own job. */
export function requireStillReadable(
  { catalog, jobs }: Pick<Services, 'catalog' | 'jobs'>,
  { id, project_id }: BackupRecord,
  what: string,
): void {
  requireReadable(findBackup(catalog, id, project_id), what);
  const deletion = jobs.activeFor(id).find(({ kind }) => kind === 'delete');
  if (deletion === undefined) return;
  throw new Fault('BACKUP_BUSY', `Cannot ${what} backup "${id}": job "${deletion.id}" deletes it`);
}
