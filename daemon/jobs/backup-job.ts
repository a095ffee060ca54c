/** Makes a backup of a volume.
 *  Promises: what can be refused at once is refused before anything is recorded; W3 (catalog, flushed) comes after W2
 *  (manifest) and before the job is reported as done (W4); a failed or cancelled backup is in status error with its reason,
 *  and its volume is available again. */

import { randomUUID } from 'node:crypto';
import { Fault } from '../base/faults.ts';
import { failReasonLengthMax } from '../base/limits.ts';
import { recordOf } from '../catalog/rebuild.ts';
import type { BackupRecord, JobRecord, VolumeRecord } from '../catalog/records.ts';
import type { Source } from '../devices/device.ts';
import { openSource } from '../devices/source.ts';
import type { BackupManifest } from '../format/manifest.ts';
import { backUp } from '../pipeline/backup.ts';
import type { ManifestFields } from '../repository/repository.ts';
import { findVolume, findVolumeAnywhere } from './find.ts';
import type { JobContext } from './jobs.ts';
import { type Services, timestamp, withMemory } from './services.ts';

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
  const find = order.anyVolume ? findVolumeAnywhere : findVolume;
  const volume = find(catalog, order.volume, order.project);
  refuseUnlessIdle(services, volume);
  const parent = order.incremental ? parentOf(services, volume, order) : undefined;
  await (await services.repositories.get(order.repository)).requireWritable();
  const sizeBytes = await probeSource(services, volume, order.force);
  const backup = newRecord(services, order, volume, parent, sizeBytes);
  let manifest: BackupManifest | undefined;
  // Another request may have come between: nothing awaits from here until the record is on its way.
  refuseUnlessIdle(services, find(catalog, volume.id, order.project));
  busy.add(volume.id);
  try {
    const job = await jobs.submit({
      kind: 'backup',
      project_id: order.project,
      backup_id: backup.id,
      volume_id: volume.id,
      bytes_per_second: order.rate,
      begin: (changes) => {
        services.quotas.require(backup.project_id, sizeBytes);
        changes.put('backups', backup);
        changes.put('volumes', { ...volume, status: 'backing-up', size_bytes: sizeBytes });
      },
      run: async (context) => {
        const onDurable = (written: BackupManifest) => {
          manifest = written;
        };
        const made = await runBackup(services, context, backup, { volume, force: order.force, onDurable });
        return { backup_id: backup.id, ...made.statistics, consistency: made.consistency };
      },
      end: (changes, fault) => {
        busy.delete(volume.id);
        const now = timestamp(services.clock);
        const fail_reason = fault?.message.slice(0, failReasonLengthMax) ?? '';
        const ended: BackupRecord =
          manifest === undefined
            ? { ...backup, status: 'error', fail_reason, updated_at: now }
            : recordOf(manifest, backup.repository, now);
        changes.put('backups', ended);
        const known = catalog.get('volumes', volume.id);
        if (known !== undefined)
          changes.put('volumes', { ...known, status: volume.status, size_bytes: ended.size_bytes });
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
    status: 'creating',
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

interface BackupRun {
  readonly volume: VolumeRecord;
  readonly force: boolean;
  /** Told at once when the backup exists: whatever fails afterwards does not undo that. */
  readonly onDurable: (manifest: BackupManifest) => void;
}

async function runBackup(
  services: Services,
  context: JobContext,
  backup: BackupRecord,
  { volume, force, onDurable }: BackupRun,
): Promise<BackupManifest> {
  const { signal, progress } = context;
  return withMemory(services, context, 'backup', async (grant) => {
    const repository = await services.repositories.of(backup);
    const source = await openSource(services, volume.source, { force });
    try {
      const fields = () => fieldsOf(backup, volume, source);
      const { native } = services;
      const rates = [context.rate, services.rates.read];
      const manifest = await backUp({ source, repository, native, grant, progress, signal, rates, fields });
      onDurable(manifest);
      return manifest;
    } finally {
      await source.close();
    }
  });
}

function fieldsOf(backup: BackupRecord, volume: VolumeRecord, source: Source): ManifestFields {
  const { id, name, description, project_id, parent_id, snapshot_id, container, availability_zone } = backup;
  const { metadata, created_at, data_timestamp } = backup;
  return {
    backup: {
      id,
      name,
      description,
      project_id,
      parent_id,
      snapshot_id,
      container,
      availability_zone,
      metadata,
      created_at,
      data_timestamp,
    },
    volume: {
      id: volume.id,
      name: volume.name,
      source: volume.source,
      size_bytes: source.sizeBytes,
      ...(volume.project_id === project_id ? {} : { project_id: volume.project_id }),
    },
    consistency:
      source.usedBy.length === 0 ? 'clean' : `crash-consistent: ${source.usedBy.join('; ')}`.slice(0, 1000),
  };
}
