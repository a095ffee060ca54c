/** What a restore does to the record of its target. Pure.
 *  Promises: encrypted bytes never come to a volume that is plain, nor plain bytes to one that is encrypted: whoever opens it later
 *  would find nonsense, or trust what is not protected. */

import { Fault } from '../base/faults.ts';
import type { BackupRecord, VolumeRecord } from '../catalog/records.ts';
import { volumeStatus } from '../catalog/statuses.ts';
import type { Location } from '../devices/connect/connectors.ts';
import type { BackupManifest } from '../format/manifest.ts';

/** The property that names the backup a volume came from. */
const sourceProperty = 'src_backup_id';

/** TARGET_UNUSABLE where one of them is encrypted and the other is not. */
export function requireSameEncryption(backup: BackupRecord, target: VolumeRecord): void {
  requireEncryption(backup, target.encryption_key_id !== null, `volume "${target.name}"`);
}

/** The same of what is no registered volume, where its storage says how it is. */
export function requireEncryptionAt(backup: BackupRecord, { url, encrypted }: Location): void {
  if (encrypted !== undefined) requireEncryption(backup, encrypted, `"${url}"`);
}

function requireEncryption(backup: BackupRecord, wanted: boolean, target: string): void {
  const sealed = backup.encryption_key_id !== null;
  if (sealed === wanted) return;
  const why = sealed
    ? 'the backup is of an encrypted volume, and this one is not encrypted'
    : 'it is encrypted, and the backup is of a volume that is not';
  throw new Fault('TARGET_UNUSABLE', `Cannot restore to ${target}: ${why}`, {
    hint: 'Restore to a new volume: leave out the target',
  });
}

/** The registered target as it is after a restore: with the properties of the volume that was backed up. */
export function afterRestore(
  target: VolumeRecord,
  backup: BackupRecord,
  manifest: BackupManifest,
): VolumeRecord {
  const marked = target.id !== backup.volume_id || Object.hasOwn(target.metadata, sourceProperty);
  const backedUp = manifest.volume.metadata ?? {};
  // As in Cinder: what came without properties leaves those of the target alone.
  const metadata = Object.keys(backedUp).length === 0 ? target.metadata : backedUp;
  return volumeStatus.move(target, 'available', {
    metadata: { ...metadata, ...(marked ? { [sourceProperty]: backup.id } : {}) },
    encryption_key_id: backup.encryption_key_id,
  });
}

export interface NewVolume extends Pick<VolumeRecord, 'id' | 'name' | 'source' | 'connection' | 'identity'> {
  readonly now: string;
}

/** The record of what a restore was made to. */
export function newVolume(
  { id, name, source, connection, identity, now }: NewVolume,
  backup: BackupRecord,
  manifest: BackupManifest,
): VolumeRecord {
  return afterRestore(
    {
      id,
      name,
      project_id: backup.project_id,
      source,
      status: volumeStatus.begin('available'),
      previous_status: null,
      size_bytes: backup.size_bytes,
      created_at: now,
      metadata: {},
      encryption_key_id: null,
      connection,
      identity,
    },
    backup,
    manifest,
  );
}
