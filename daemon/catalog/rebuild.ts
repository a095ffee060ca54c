/** What a catalog must hold so that it agrees with the manifests of a repository. Pure.
 *  Promises: the plan names every change; a manifest that is there becomes an available backup, a record whose manifest has
 *  gone is dropped, and a volume that only manifests know is registered again. */

import { manifestKey } from '../format/layout.ts';
import type { BackupManifest } from '../format/manifest.ts';
import { nativeService } from '../format/record-service.ts';
import { type BackupRecord, lacking, type VolumeRecord } from './records.ts';
import { backupStatus, volumeStatus } from './statuses.ts';

/** Whose Cinder's records say that they are, wherever the objects lie. */
const cinderService = 'cinder.backup.drivers.posix.PosixBackupDriver';

/** The record of a backup as its manifest tells it; `now` is when it was learnt, `repository` the name of where. */
export function recordOf(manifest: BackupManifest, repository: string, now: string): BackupRecord {
  const { backup, volume, statistics } = manifest;
  return {
    ...lacking.backups,
    ...backup,
    user_id: backup.user_id ?? '',
    host: backup.host ?? null,
    encryption_key_id: backup.encryption_key_id ?? null,
    repository,
    status: backupStatus.begin('available'),
    service: manifest.map === undefined ? cinderService : nativeService,
    service_metadata: manifest.map === undefined ? (manifest.cinder?.prefix ?? null) : manifestKey(backup.id),
    fail_reason: '',
    volume_id: volume.id,
    volume_name: volume.name,
    size_bytes: volume.size_bytes,
    is_incremental: backup.parent_id !== null,
    updated_at: now,
    root_digest: manifest.map?.root ?? null,
    object_count: manifest.object_count ?? objectCount(manifest),
    read_bytes: statistics.read_bytes,
    zero_bytes: statistics.zero_bytes,
    new_bytes: statistics.new_bytes,
    stored_bytes: statistics.stored_bytes,
    consistency: manifest.consistency,
    consistency_evidence: manifest.evidence ?? null,
  };
}

/** What only this host knows of a backup stays when its manifest is read again: an import put it into another project, or
 *  somebody changed its name. */
export function keepingLocal(fresh: BackupRecord, known: BackupRecord | undefined): BackupRecord {
  if (known === undefined || known.status === 'deleted' || known.root_digest !== fresh.root_digest)
    return fresh;
  const { project_id, user_id, host, availability_zone, name, description, metadata } = known;
  const { restore_volume_id } = known;
  const said = { name, description, metadata, restore_volume_id };
  return { ...fresh, project_id, user_id, host, availability_zone, ...said };
}

const objectCount = ({ map, volume }: BackupManifest): number =>
  map === undefined ? 0 : Math.ceil(volume.size_bytes / map.block_bytes);

/** The volume as a manifest tells it. */
export const volumeOf = (manifest: BackupManifest): VolumeRecord => ({
  id: manifest.volume.id,
  name: manifest.volume.name,
  project_id: manifest.volume.project_id ?? manifest.backup.project_id,
  source: manifest.volume.source,
  status: volumeStatus.begin('available'),
  previous_status: null,
  size_bytes: manifest.volume.size_bytes,
  created_at: manifest.backup.created_at,
  metadata: manifest.volume.metadata ?? {},
  encryption_key_id: manifest.backup.encryption_key_id ?? null,
  // A manifest holds no secrets: what needs some has to be registered again.
  connection: null,
  identity: null,
});
