/** Changes what people say of a backup, and, for administrators, its state.
 *  Promises: a change is durable in the repository before the catalog tells of it, where the kind of repository keeps such things;
 *  a backup is never called available without its data. */

import { Fault } from '../base/faults.ts';
import type { BackupRecord } from '../catalog/records.ts';
import { backupStatus } from '../catalog/statuses.ts';
import { findBackup } from './find.ts';
import { changedProperties, type PropertyChange } from './properties.ts';
import { type Services, timestamp } from './services.ts';

export interface BackupChange extends PropertyChange {
  /** undefined: stays; null: none. */
  readonly name: string | null | undefined;
  readonly description: string | null | undefined;
  readonly state: 'available' | 'error' | undefined;
}

export async function changeBackup(
  services: Services,
  reference: string,
  project: string,
  change: BackupChange,
): Promise<BackupRecord> {
  const { id } = findBackup(services.catalog, reference, project);
  if (change.state !== undefined) await changeState(services, id, project, change.state);
  const before = findBackup(services.catalog, id, project);
  const told = tell(before, change);
  if (!isChanged(before, told)) return before;
  // What has no data has nothing in the repository that its name could be kept with.
  if (before.status !== 'error') {
    const repository = await services.repositories.of(before);
    if (repository.notes !== undefined) {
      await repository.requireWritable();
      const { name, description, metadata } = told;
      await repository.notes.put({ backup_id: id, name, description, metadata });
    }
  }
  await services.catalog.commit((changes) => {
    const now = findBackup(services.catalog, id, project);
    changes.put('backups', { ...tell(now, change), updated_at: timestamp(services.clock) });
  });
  return findBackup(services.catalog, id, project);
}

const tell = (backup: BackupRecord, change: BackupChange) => ({
  ...backup,
  name: change.name === undefined ? backup.name : change.name,
  description: change.description === undefined ? backup.description : change.description,
  metadata: changedProperties(backup.metadata, change),
});

const isChanged = (before: BackupRecord, after: BackupRecord): boolean =>
  before.name !== after.name ||
  before.description !== after.description ||
  JSON.stringify(before.metadata) !== JSON.stringify(after.metadata);

async function changeState(
  services: Services,
  id: string,
  project: string,
  state: 'available' | 'error',
): Promise<void> {
  const { catalog, jobs } = services;
  const backup = findBackup(catalog, id, project);
  if (backup.status === 'restoring') {
    // Cinder's way to cancel a restore. The backup is as good as before.
    const restores = jobs.activeFor(id).filter(({ kind }) => kind === 'restore');
    await Promise.all(restores.map((job) => jobs.cancel(job.id)));
    return;
  }
  const active = jobs.activeFor(id)[0];
  if (active !== undefined || !backupStatus.mayBecome(backup.status, state)) {
    const why =
      active === undefined
        ? `its status is "${backup.status}"`
        : `job "${active.id}" (${active.kind}) uses it`;
    const hint = 'To cancel it: basaltctl backup delete --force';
    const more = backup.status === 'creating' ? { hint } : {};
    throw new Fault('BACKUP_BUSY', `Cannot set the state of backup "${id}": ${why}`, more);
  }
  // MANIFEST_MISSING, MANIFEST_CORRUPT: what has no data can't be available.
  if (state === 'available') await (await services.repositories.of(backup)).manifest(id);
  await catalog.commit((changes) => {
    const now = findBackup(catalog, id, project);
    const fail_reason = state === 'available' ? '' : now.fail_reason;
    const updated_at = timestamp(services.clock);
    changes.put('backups', backupStatus.move(now, state, { fail_reason, updated_at }));
  });
}
