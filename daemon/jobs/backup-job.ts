/** Begins a backup of a volume; `backup-run.ts` is what follows.
 *  Promises: what can be refused at once is refused before anything is recorded. */

import { randomUUID } from 'node:crypto';
import { Fault } from '../base/faults.ts';
import type { BackupRecord, JobRecord, VolumeRecord } from '../catalog/records.ts';
import { backupStatus, volumeStatus } from '../catalog/statuses.ts';
import { openSource } from '../devices/source.ts';
import { backupOrder } from './backup-run.ts';
import { findVolume, findVolumeAnywhere } from './find.ts';
import { type Services, timestamp } from './services.ts';

export interface BackupOrder {
  readonly volume: string;
  /** Name of the repository that gets it. */
  readonly repository: string;
  /** The backup belongs to it, and counts against its quota, whosever the volume is. */
  readonly project: string;
  /** True for an administrator: the volume may be of another project. */
  readonly anyVolume: boolean;
  readonly incremental: boolean;
  readonly force: boolean;
  /** Rate of this job alone, in bytes a second; 0: none. */
  readonly rate: number;
  readonly name: string | null;
  readonly description: string | null;
  readonly properties: Readonly<Record<string, string>>;
  readonly container: string | null;
  readonly availability_zone: string | null;
}

export async function createBackup(
  services: Services,
  order: BackupOrder,
): Promise<{ backup: BackupRecord; job: JobRecord }> {
  const { catalog, jobs, busyVolumes: busy } = services;
  services.service.requireEnabled();
  const find = order.anyVolume ? findVolumeAnywhere : findVolume;
  const volume = find(catalog, order.volume, order.project);
  refuseUnlessIdle(services, volume);
  const parent = order.incremental ? parentOf(services, volume, order) : undefined;
  await (await services.repositories.get(order.repository)).requireWritable();
  const sizeBytes = await probeSource(services, volume, order.force);
  const backup = newRecord(services, order, volume, parent, sizeBytes);
  const record = { project_id: order.project, backup_id: backup.id, volume_id: volume.id };
  // Another request may have come between: nothing awaits from here until the record is on its way.
  const idle = find(catalog, volume.id, order.project);
  refuseUnlessIdle(services, idle);
  busy.add(volume.id);
  const plan = {
    kind: 'backup',
    force: order.force,
    bytes_per_second: order.rate,
    volume_status: idle.status,
  } as const;
  try {
    const job = await jobs.submit({
      ...backupOrder(services, record, plan),
      begin: (changes) => {
        services.quotas.require(backup.project_id, sizeBytes);
        changes.put('backups', backup);
        changes.put('volumes', volumeStatus.move(idle, 'backing-up', { size_bytes: sizeBytes }));
      },
    });
    return { backup, job };
  } catch (thrown) {
    busy.delete(volume.id);
    throw thrown;
  }
}

function refuseUnlessIdle({ busyVolumes: busy }: Services, volume: VolumeRecord): void {
  if (volume.status !== 'backing-up' && volume.status !== 'restoring-backup' && !busy.has(volume.id)) return;
  throw new Fault('VOLUME_BUSY', `Cannot back up volume "${volume.name}": its status is "${volume.status}"`);
}

/** The latest available backup of the volume in the project and the repository that the new one is for: others' backups are
 *  not there. */
function parentOf(
  { catalog }: Services,
  volume: VolumeRecord,
  { project, repository }: Pick<BackupOrder, 'project' | 'repository'>,
): BackupRecord {
  let latest: BackupRecord | undefined;
  for (const backup of catalog.backups.ofVolume(volume.id)) {
    if (backup.project_id !== project || backup.repository !== repository) continue;
    if (backup.status !== 'available' && backup.status !== 'restoring') continue;
    if (latest === undefined || backup.data_timestamp > latest.data_timestamp) latest = backup;
  }
  if (latest !== undefined) return latest;
  throw new Fault(
    'NO_PARENT',
    `Cannot back up volume "${volume.name}" incrementally: it has no available backup`,
  );
}

/** Opens the source once before anything is recorded, so that what is wrong with it is said at once. */
async function probeSource(services: Services, volume: VolumeRecord, force: boolean): Promise<number> {
  const source = await openSource(services, volume.source, { force });
  await source.close();
  return source.sizeBytes;
}

function newRecord(
  services: Services,
  order: BackupOrder,
  volume: VolumeRecord,
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
    size_bytes: sizeBytes,
    parent_id: parent?.id ?? null,
    is_incremental: parent !== undefined,
    data_timestamp: now,
    created_at: now,
    updated_at: now,
    metadata: order.properties,
    snapshot_id: null,
    container: order.container,
    availability_zone: order.availability_zone,
    root_digest: null,
    object_count: 0,
    stored_bytes: 0,
    new_bytes: 0,
    zero_bytes: 0,
    read_bytes: 0,
    consistency: 'clean',
  };
}
