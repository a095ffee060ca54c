/** backup.*: one function a method. */

import { Fault } from '../../base/faults.ts';
import type { BackupRecord } from '../../catalog/records.ts';
import { createBackup } from '../../jobs/backup-job.ts';
import { exportRecord, importRecord } from '../../jobs/backup-record.ts';
import { changeBackup } from '../../jobs/change-backup.ts';
import { copyBackupTo } from '../../jobs/copy-job.ts';
import { deleteBackup } from '../../jobs/delete-job.ts';
import { dependentsCounter } from '../../jobs/dependents.ts';
import { findBackupToRead } from '../../jobs/find.ts';
import type { ChangesOrder } from '../../jobs/hints.ts';
import { diffBackups } from '../../jobs/repository-jobs.ts';
import { restoreBackup } from '../../jobs/restore-job.ts';
import type { Services } from '../../jobs/services.ts';
import { verifyBackup } from '../../jobs/verify-job.ts';
import type { CheckedParams, Result } from '../../protocol/methods.ts';
import type { Caller } from '../dispatch.ts';
import { pageOf } from '../listing.ts';
import { refuseForeignPath } from '../paths.ts';
import { requireAdmin } from '../permissions.ts';
import { presentBackup } from '../present.ts';
import type { HandlerParts, Some } from './parts.ts';

export const backupHandlers = ({
  services,
}: HandlerParts): Some<
  | 'backup.create'
  | 'backup.list'
  | 'backup.show'
  | 'backup.set'
  | 'backup.delete'
  | 'backup.restore'
  | 'backup.verify'
  | 'backup.copy'
  | 'backup.diff'
  | 'backup.record.export'
  | 'backup.record.import'
> => {
  const present = (backup: BackupRecord, dependents = dependentsCounter(services)) =>
    presentBackup(backup, dependents(backup));
  return {
    'backup.create': async (
      { volume, project, repository, incremental, force, properties, rate, ...rest },
      caller,
    ) => {
      const { name = null, description = null, container = null, snapshot } = rest;
      const { availability_zone = services.service.zone } = rest;
      const named = { name, description, container, availability_zone, snapshot, user: String(caller.uid) };
      const scope = { volume, project, anyVolume: caller.admin, repository };
      const changes = changesOf(rest.changed_extents, rest.changed_since);
      const skipErrors = rest.skip_errors;
      const order = { ...scope, incremental, force, skipErrors, properties, rate, ...named, changes };
      const { backup, job } = await createBackup(services, order);
      return { backup: present(backup), job_id: job.id };
    },
    'backup.list': async (params, caller) => {
      const limit = Math.min(params.limit, services.listLimit);
      const { backups, next_marker } = pageOf(services.catalog, { ...params, limit }, (project) =>
        caller.mayActFor(project),
      );
      const dependents = dependentsCounter(services);
      return { backups: backups.map((backup) => present(backup, dependents)), next_marker };
    },
    'backup.show': async ({ backup, project }) =>
      present(findBackupToRead(services.catalog, backup, project)),
    'backup.set': async ({ backup, project, ...change }, caller) => {
      if (change.state !== undefined) requireAdmin(caller, `set the state of backup "${backup}"`);
      const { name, description, state, ...properties } = change;
      const whole = { name, description, state, ...properties };
      return present(await changeBackup(services, backup, project, whole));
    },
    'backup.delete': async ({ backup, project, force }) => ({
      job_id: (await deleteBackup(services, backup, project, force)).id,
    }),
    'backup.restore': async (params, caller) => beginRestore(services, params, caller),
    'backup.verify': async ({ backup, project }) => ({
      job_id: (await verifyBackup(services, backup, project)).id,
    }),
    'backup.copy': async (order) => ({ job_id: (await copyBackupTo(services, order)).id }),
    'backup.record.export': async ({ backup, project }) => exportRecord(services, backup, project),
    'backup.record.import': async (order, caller) =>
      present(await importRecord(services, { ...order, user: String(caller.uid) })),
    'backup.diff': async ({ a, b, project }, caller) => diffBackups(services, a, b, project, caller.signal),
  };
};

function changesOf(extents: ChangesOrder['extents'] | undefined, since: string | undefined) {
  if (extents !== undefined) return { extents, since };
  if (since === undefined) return undefined;
  throw new Fault('INVALID_ARGUMENT', 'Cannot use "changed_since": there are no "changed_extents" with it');
}

async function beginRestore(
  services: Services,
  params: CheckedParams<'backup.restore'>,
  caller: Caller,
): Promise<Result<'backup.restore'>> {
  const { target, name, connection_info, ...rest } = params;
  if (connection_info !== undefined) requireAdmin(caller, 'restore to a device by its connection_info');
  if (target !== undefined) refuseForeignPath(services, caller, target, params.project);
  const made = await restoreBackup(services, { ...rest, target, name, connection_info });
  return { job_id: made.job.id, backup_id: made.backup.id, target: made.target };
}
