/** What a backup is made of, before anything is opened: the volume or snapshot, the parent, the first record.
 *  Promises: a parent is an available backup of the same volume in the same project and repository, the one with the latest data; where a
 *  snapshot is backed up only data older than it counts; a backup in error is never in the way. */

import { randomUUID } from 'node:crypto';
import { Fault } from '../base/faults.ts';
import type { Changes } from '../catalog/catalog.ts';
import { type BackupRecord, lacking, type SnapshotRecord, type VolumeRecord } from '../catalog/records.ts';
import { backupStatus, snapshotStatus, volumeStatus } from '../catalog/statuses.ts';
import { findSnapshot, findVolume, findVolumeAnywhere } from './find.ts';
import type { ChangesOrder } from './hints.ts';
import { type Services, timestamp } from './services.ts';

export interface BackupOrder {
  readonly volume: string;
  /** Name of the repository that gets it. */
  readonly repository: string;
  /** A snapshot of the volume, to be backed up in its place. */
  readonly snapshot: string | undefined;
  /** The backup belongs to it, and counts against its quota, whosever the volume is. */
  readonly project: string;
  /** True for an administrator: the volume may be of another project. */
  readonly anyVolume: boolean;
  /** The uid of who asks. */
  readonly user: string;
  readonly incremental: boolean;
  readonly force: boolean;
  readonly skipErrors: boolean;
  /** Rate of this job alone, in bytes a second; 0: none. */
  readonly rate: number;
  readonly name: string | null;
  readonly description: string | null;
  readonly properties: Readonly<Record<string, string>>;
  readonly container: string | null;
  readonly availability_zone: string | null;
  /** What changed since the parent, where the caller says so. */
  readonly changes: ChangesOrder | undefined;
}

/** What is read, and what must not be used by another job meanwhile. */
export interface BackupSubject {
  readonly volume: VolumeRecord;
  readonly snapshot: SnapshotRecord | undefined;
  /** Id of what the job occupies: of the snapshot, and then the volume is left alone, or of the volume. */
  readonly occupies: string;
  readonly source: string;
}

/** VOLUME_UNKNOWN, SNAPSHOT_UNKNOWN, VOLUME_BUSY, SNAPSHOT_BUSY. */
export function subjectOf(services: Services, order: BackupOrder): BackupSubject {
  const find = order.anyVolume ? findVolumeAnywhere : findVolume;
  const volume = find(services.catalog, order.volume, order.project);
  if (order.snapshot === undefined) {
    requireIdleVolume(services, volume, order.force);
    return { volume, snapshot: undefined, occupies: volume.id, source: volume.source };
  }
  const snapshot = findSnapshot(services.catalog, order.snapshot, volume.project_id, volume);
  requireIdleSnapshot(services, snapshot, 'back up');
  return { volume, snapshot, occupies: snapshot.id, source: snapshot.source };
}

function requireIdleVolume({ busyVolumes: busy }: Services, volume: VolumeRecord, force: boolean): void {
  const message = `Cannot back up volume "${volume.name}": its status is "${volume.status}"`;
  if (volume.status === 'backing-up' || volume.status === 'restoring-backup' || busy.has(volume.id))
    throw new Fault('VOLUME_BUSY', message);
  if (volume.status !== 'available' && !force) {
    throw new Fault('VOLUME_BUSY', message, {
      hint: 'Restore to it again, or set it right with: basaltctl volume set --state available. --force backs it up as it is',
    });
  }
}

export function requireIdleSnapshot(
  { busyVolumes: busy }: Pick<Services, 'busyVolumes'>,
  snapshot: SnapshotRecord,
  what: string,
) {
  if (snapshot.status === 'available' && !busy.has(snapshot.id)) return;
  const message = `Cannot ${what} snapshot "${snapshot.name}": its status is "${snapshot.status}"`;
  throw new Fault('SNAPSHOT_BUSY', message);
}

/** The backup to be made from, or undefined for a full one. NO_PARENT. */
export function parentOf(
  { catalog }: Services,
  { volume, snapshot }: BackupSubject,
  order: BackupOrder,
): BackupRecord | undefined {
  if (!order.incremental) return undefined;
  let latest: BackupRecord | undefined;
  for (const backup of catalog.backups.ofVolume(volume.id)) {
    if (backup.project_id !== order.project || backup.repository !== order.repository) continue;
    if (backup.status !== 'available' && backup.status !== 'restoring') continue;
    if (snapshot !== undefined && backup.data_timestamp >= snapshot.created_at) continue;
    if (latest === undefined || backup.data_timestamp > latest.data_timestamp) latest = backup;
  }
  if (latest !== undefined) return latest;
  const older = snapshot === undefined ? '' : ` older than snapshot "${snapshot.name}"`;
  throw new Fault(
    'NO_PARENT',
    `Cannot back up volume "${volume.name}" incrementally: it has no available backup${older}`,
  );
}

/** NO_PARENT where the parent of a new backup is none any more. */
export function requireParentHere({ catalog }: Services, { parent_id: id }: BackupRecord): void {
  const status = id === null ? 'available' : catalog.get('backups', id)?.status;
  if (status === 'available' || status === 'restoring') return;
  throw new Fault('NO_PARENT', `Cannot make an incremental backup on backup "${id}": it is being deleted`);
}

export function newRecord(
  services: Services,
  order: BackupOrder,
  { volume, snapshot }: BackupSubject,
  parent: BackupRecord | undefined,
  sizeBytes: number,
): BackupRecord {
  const now = timestamp(services.clock);
  return {
    id: randomUUID(),
    repository: order.repository,
    name: order.name,
    description: order.description,
    status: backupStatus.begin('creating'),
    fail_reason: '',
    volume_id: volume.id,
    volume_name: volume.name,
    project_id: order.project,
    user_id: order.user,
    host: services.service.host,
    service: lacking.backups.service,
    service_metadata: null,
    size_bytes: sizeBytes,
    parent_id: parent?.id ?? null,
    is_incremental: parent !== undefined,
    data_timestamp: snapshot?.created_at ?? now,
    created_at: now,
    updated_at: now,
    metadata: order.properties,
    snapshot_id: snapshot?.id ?? null,
    temp_snapshot_id: null,
    restore_volume_id: null,
    encryption_key_id: volume.encryption_key_id,
    container: order.container,
    availability_zone: order.availability_zone,
    root_digest: null,
    object_count: 0,
    stored_bytes: 0,
    new_bytes: 0,
    zero_bytes: 0,
    read_bytes: 0,
    consistency: 'clean',
    consistency_evidence: null,
  };
}

/** The source as it stands while a backup of it is made. */
export function occupy(changes: Changes, { volume, snapshot }: BackupSubject, sizeBytes: number): void {
  if (snapshot !== undefined) {
    changes.put('snapshots', snapshotStatus.move(snapshot, 'backing-up'));
    return;
  }
  const more = { previous_status: volume.status, size_bytes: sizeBytes };
  changes.put('volumes', volumeStatus.move(volume, 'backing-up', more));
}

/** Id of what the backup occupies: of its snapshot, or of its volume. */
export const occupiedBy = (backup: BackupRecord): string => backup.snapshot_id ?? backup.volume_id;

/** The source as it stands afterwards; what was forgotten meanwhile stays so. */
export function giveBack(
  { catalog }: Pick<Services, 'catalog'>,
  changes: Changes,
  backup: BackupRecord,
  before: VolumeRecord['status'],
): void {
  if (backup.snapshot_id !== null) {
    const snapshot = catalog.get('snapshots', backup.snapshot_id);
    if (snapshot !== undefined) changes.put('snapshots', snapshotStatus.move(snapshot, 'available'));
    return;
  }
  const volume = catalog.get('volumes', backup.volume_id);
  if (volume === undefined) return;
  const previous_status = backup.status === 'error' ? 'error_backing-up' : 'backing-up';
  const { size_bytes } = backup;
  changes.put('volumes', volumeStatus.move(volume, before, { previous_status, size_bytes }));
}
