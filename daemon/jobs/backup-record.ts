/** Gives out the record of a backup, and takes up a backup by its record, both in Cinder's encoding.
 *  Promises: an import is all or nothing, and changes nothing where it is refused; what it makes known is what the repository
 *  holds, whatever the record says: of the record only name, description and properties are taken, and project, user, host and
 *  zone are those of the import.
 *  Knows nothing of the encoding: that is `format/cinder-record.ts`. */

import { GiB } from '../base/bytes.ts';
import { Fault } from '../base/faults.ts';
import { recordOf } from '../catalog/rebuild.ts';
import { type BackupRecord, defaultRepository } from '../catalog/records.ts';
import { type CinderRecord, decodeRecord, encodeRecord, wholeSeconds } from '../format/cinder-record.ts';
import {
  nativeService,
  openNativeMetadata,
  type RecordService,
  recordServiceOf,
  sealNativeMetadata,
} from '../format/record-service.ts';
import { dependentsOf, findBackupToRead } from './find.ts';
import { cinderData } from './import-cinder.ts';
import { type Services, timestamp } from './services.ts';

export async function exportRecord(
  services: Services,
  reference: string,
  project: string,
): Promise<{ backup_service: string; backup_url: string }> {
  const backup = findBackupToRead(services.catalog, reference, project);
  requireAvailable(backup);
  const repository = await services.repositories.of(backup);
  const { map, cinder } = await repository.manifest(backup.id);
  const service_metadata =
    map === undefined
      ? (cinder?.prefix ?? backup.service_metadata)
      : sealNativeMetadata({ repository: repository.id, root: map.root });
  const backup_service = map === undefined ? backup.service : nativeService;
  const dependents = dependentsOf(services, backup);
  const host = services.service.host;
  const backup_url = encodeRecord(
    cinderRecordOf(backup, { service: backup_service, service_metadata, host, dependents }),
  );
  return { backup_service, backup_url };
}

function requireAvailable({ id, status }: BackupRecord): void {
  if (status === 'available') return;
  const passing = status === 'creating' || status === 'restoring' || status === 'deleting';
  throw new Fault(
    passing ? 'BACKUP_BUSY' : 'BACKUP_UNKNOWN',
    `Cannot export backup "${id}": its status is "${status}"`,
    passing ? {} : { hint: 'Only an available backup has data: basaltctl backup list' },
  );
}

interface RecordFacts {
  readonly service: string;
  readonly service_metadata: string | null;
  readonly host: string;
  readonly dependents: number;
}

function cinderRecordOf(
  backup: BackupRecord,
  { service, service_metadata, host, dependents }: RecordFacts,
): CinderRecord {
  const { id, project_id, volume_id, availability_zone, container, parent_id, metadata } = backup;
  return {
    driver_info: {},
    id,
    user_id: backup.user_id || null,
    project_id,
    volume_id,
    host: backup.host ?? host,
    availability_zone,
    container,
    parent_id,
    status: backup.status,
    fail_reason: null,
    size: Math.ceil(backup.size_bytes / GiB),
    display_name: backup.name,
    display_description: backup.description,
    service_metadata,
    service,
    object_count: backup.object_count,
    temp_volume_id: null,
    temp_snapshot_id: null,
    num_dependent_backups: dependents,
    snapshot_id: backup.snapshot_id,
    data_timestamp: wholeSeconds(backup.data_timestamp),
    restore_volume_id: backup.restore_volume_id,
    metadata: { ...metadata },
    encryption_key_id: backup.encryption_key_id,
    created_at: wholeSeconds(backup.created_at),
    updated_at: wholeSeconds(backup.updated_at),
    deleted_at: null,
    deleted: false,
  };
}

export interface ImportOrder {
  readonly service: string;
  readonly url: string;
  readonly project: string;
  /** Who imports it. */
  readonly user: string;
}

export async function importRecord(services: Services, order: ImportOrder): Promise<BackupRecord> {
  const service = recordServiceOf(order.service);
  const record = decodeRecord(order.url);
  if (isKnown(services, record.id)) throw alreadyThere(record.id);
  const found = await foundData(services, service, record);
  const backup: BackupRecord = {
    ...found,
    project_id: order.project,
    user_id: order.user,
    host: services.service.host,
    availability_zone: services.service.zone,
    name: record.display_name,
    description: record.display_description,
    metadata: record.metadata,
  };
  await services.catalog.commit((changes) => {
    // Asked again within the transaction: the same record may come twice at the same time.
    if (isKnown(services, record.id)) throw alreadyThere(record.id);
    services.quotas.require(order.project, backup.size_bytes);
    changes.put('backups', backup);
  });
  return backup;
}

/** True where any project has the backup. One that was deleted may come back, if its data did. */
function isKnown({ catalog }: Services, id: string): boolean {
  const known = catalog.get('backups', id);
  return known !== undefined && known.status !== 'deleted';
}

const alreadyThere = (id: string): Fault =>
  new Fault('ALREADY_EXISTS', `Cannot import backup "${id}": there is one of this id already`, {
    hint: 'Nothing needs to be imported: basaltctl backup list --all-projects',
  });

/** The backup as the repository has it. */
function foundData(services: Services, service: RecordService, record: CinderRecord): Promise<BackupRecord> {
  if (service.kind === 'native') return nativeData(services, record);
  if (service.kind === 'cinder') return cinderData(services, service, record);
  throw new Fault(
    'REPOSITORY_MISSING',
    `Cannot import a record of service "${service.path}": there is no repository of this kind`,
    { hint: 'List the repositories of this daemon with: basaltctl repository show' },
  );
}

/** Name of the repository of that id, opened now where it was not; where there is none, the one of the settings tells what is
 *  missing. */
async function nativeRepository({ repositories }: Services, id: string): Promise<string> {
  const natives = repositories.list().filter(({ kind }) => kind === 'native');
  // One that hangs must not hold up what another one can tell.
  const open = natives.find(({ holder }) => holder.current?.id === id);
  if (open !== undefined) return open.id;
  const found = await Promise.all(
    natives.map(async ({ id: name, holder }) => {
      const repository = await holder.get().catch(() => undefined);
      return repository?.id === id ? name : undefined;
    }),
  );
  return found.find((name) => name !== undefined) ?? defaultRepository;
}

async function nativeData(services: Services, record: CinderRecord): Promise<BackupRecord> {
  const place = openNativeMetadata(record.service_metadata);
  const name = await nativeRepository(services, place.repository);
  const repository = await services.repositories.get(name);
  const manifest = await repository.manifest(record.id).catch((thrown: unknown) => {
    if (!(thrown instanceof Fault) || thrown.code !== 'MANIFEST_MISSING') throw thrown;
    const where = place.repository === repository.id ? 'this repository' : `repository "${place.repository}"`;
    throw new Fault(
      'MANIFEST_MISSING',
      `Cannot import backup "${record.id}": its data should be in ${where} and is not in "${repository.url}"`,
      { cause: thrown, hint: 'Start basaltd with the repository that holds the data' },
    );
  });
  const fits: Readonly<Record<string, boolean>> = {
    service_metadata: manifest.map?.root === place.root,
    size: Math.ceil(manifest.volume.size_bytes / GiB) === record.size,
    volume_id: record.volume_id === null || record.volume_id === manifest.volume.id,
    parent_id: record.parent_id === null || record.parent_id === manifest.backup.parent_id,
  };
  const wrong = Object.keys(fits).find((name) => fits[name] === false);
  if (wrong === undefined) return recordOf(manifest, name, timestamp(services.clock));
  throw new Fault(
    'RECORD_INVALID',
    `Cannot import backup "${record.id}": its "${wrong}" is not that of the backup in the repository`,
  );
}
