/** Deletes a backup.
 *  Promises: removal runs against the order of writing: the catalog says deleting, then the manifest goes, then the record.
 *  A backup that is being restored, or mounted, stays. A deletion that the daemon's end cut off is finished at the next start. */

import { Fault } from '../base/faults.ts';
import { failReasonLengthMax } from '../base/limits.ts';
import { type BackupRecord, defaultRepository, type JobPlan, type JobRecord } from '../catalog/records.ts';
import { backupStatus } from '../catalog/statuses.ts';
import { dependentOf, findBackup } from './find.ts';
import type { JobOrder } from './job-order.ts';
import { repositoryFor, type Services, timestamp } from './services.ts';

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
  refuseWithDependents(services, backup);
  const updated_at = timestamp(services.clock);
  const deleting = backupStatus.move(backup, 'deleting', { updated_at });
  const record = { project_id: project, backup_id: backup.id, volume_id: backup.volume_id };
  return jobs.submit({
    ...deleteOrder(services, record, { kind: 'delete', backup_status: backup.status }),
    begin: (changes) => {
      // Asked again within the transaction: the record of a child may have been on its way.
      refuseWithDependents(services, backup);
      changes.put('backups', deleting);
    },
  });
}

function refuseWithDependents(services: Services, backup: BackupRecord): void {
  const dependent = dependentOf(services, backup);
  if (dependent === undefined) return;
  const message = `Cannot delete backup "${backup.id}": backup "${dependent.id}" depends on it`;
  throw new Fault('BACKUP_HAS_DEPENDENTS', message);
}

export function deleteOrder(
  services: Services,
  { project_id, backup_id, volume_id }: Pick<JobRecord, 'project_id' | 'backup_id' | 'volume_id'>,
  plan: Extract<JobPlan, { kind: 'delete' }>,
): JobOrder {
  const { catalog } = services;
  const id = backup_id ?? '';
  /** Nothing was removed: the backup is what it was. */
  let whole = false;
  return {
    kind: 'delete',
    project_id,
    backup_id,
    volume_id,
    plan,
    run: async (context) => {
      services.view()?.dropBackup(id);
      const name = catalog.get('backups', id)?.repository ?? defaultRepository;
      const repository = await repositoryFor(services, context, name, 'write');
      await context.started();
      try {
        await repository.removeManifest(id);
      } catch (thrown) {
        whole = await repository.manifest(id).then(
          () => true,
          () => false,
        );
        throw thrown;
      }
      return { backup_id: id };
    },
    end: (changes, fault) => {
      const backup = catalog.get('backups', id);
      if (backup === undefined) return;
      if (fault === undefined) changes.remove('backups', id);
      else if (whole) changes.put('backups', backupStatus.move(backup, plan.backup_status));
      else {
        const fail_reason = fault.message.slice(0, failReasonLengthMax);
        changes.put('backups', backupStatus.move(backup, 'error_deleting', { fail_reason }));
      }
    },
  };
}

function refuseWhileUsed({ catalog, jobs }: Services, backup: BackupRecord): void {
  const message = `Cannot delete backup "${backup.id}"`;
  if (!backupStatus.mayBecome(backup.status, 'deleting') || /^(creating|deleting)$/.test(backup.status)) {
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
