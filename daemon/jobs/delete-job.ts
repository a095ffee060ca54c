/** Deletes a backup.
 *  Promises: removal runs against the order of writing: the catalog says deleting, then the manifest goes, then the record.
 *  A backup that is being restored, or mounted, stays. */

import { Fault } from '../base/faults.ts';
import { failReasonLengthMax } from '../base/limits.ts';
import type { BackupRecord, JobRecord } from '../catalog/records.ts';
import { mayBecome } from '../format/backup-status.ts';
import { dependentOf, findBackup } from './find.ts';
import { type Services, timestamp } from './services.ts';

export async function deleteBackup(
  services: Services,
  reference: string,
  project: string,
  force: boolean,
): Promise<JobRecord> {
  const { catalog, jobs } = services;
  let backup = findBackup(catalog, reference, project);
  if (backup.status === 'creating' && force) {
    // Cinder's way to cancel a backup: its job is stopped first, and leaves it in status error.
    await Promise.all(jobs.activeFor(backup.id).map(({ id }) => jobs.cancel(id)));
    backup = findBackup(catalog, backup.id, project);
  }
  refuseWhileUsed(services, backup);
  const dependent = dependentOf(services, backup);
  if (dependent !== undefined) {
    const message = `Cannot delete backup "${backup.id}": backup "${dependent.id}" depends on it`;
    throw new Fault('BACKUP_HAS_DEPENDENTS', message);
  }
  /** Nothing was removed: the backup is what it was. */
  let whole = false;
  const deleting: BackupRecord = { ...backup, status: 'deleting', updated_at: timestamp(services.clock) };
  return jobs.submit({
    kind: 'delete',
    project_id: project,
    backup_id: backup.id,
    volume_id: backup.volume_id,
    begin: (changes) => changes.put('backups', deleting),
    run: async () => {
      services.view()?.dropBackup(backup.id);
      const repository = await services.repositories.of(backup);
      try {
        await repository.removeManifest(backup.id);
      } catch (thrown) {
        whole = await repository.manifest(backup.id).then(
          () => true,
          () => false,
        );
        throw thrown;
      }
      return { backup_id: backup.id };
    },
    end: (changes, fault) => {
      if (fault === undefined) changes.remove('backups', backup.id);
      else if (whole) changes.put('backups', backup);
      else {
        const fail_reason = fault.message.slice(0, failReasonLengthMax);
        changes.put('backups', { ...deleting, status: 'error_deleting', fail_reason });
      }
    },
  });
}

function refuseWhileUsed({ catalog, jobs }: Services, backup: BackupRecord): void {
  const message = `Cannot delete backup "${backup.id}"`;
  if (!mayBecome(backup.status, 'deleting') || backup.status === 'creating') {
    throw new Fault('BACKUP_BUSY', `${message}: its status is "${backup.status}"`);
  }
  const [job] = jobs.activeFor(backup.id);
  if (job !== undefined) throw new Fault('BACKUP_BUSY', `${message}: job "${job.id}" (${job.kind}) uses it`);
  for (const mount of catalog.all('mounts')) {
    if (mount.backup_id === backup.id) {
      throw new Fault('BACKUP_BUSY', `${message}: it is mounted at "${mount.directory}"`);
    }
  }
}
