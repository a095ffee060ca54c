/** The running part of a restore, made from what the catalog holds: at its begin, and again after the daemon ended.
 *  Promises: a new file has its name only when it is whole; a failed restore to something that existed says so in the volume's
 *  status. */

import { randomUUID } from 'node:crypto';
import { Fault } from '../base/faults.ts';
import type { Changes } from '../catalog/catalog.ts';
import type { BackupRecord, Checkpoint, JobPlan, JobRecord } from '../catalog/records.ts';
import { backupStatus, volumeStatus } from '../catalog/statuses.ts';
import type { Target } from '../devices/device.ts';
import type { BackupManifest } from '../format/manifest.ts';
import { isInterrupted } from '../pipeline/checkpoints.ts';
import { restore } from '../pipeline/restore.ts';
import { Written } from '../pipeline/written.ts';
import type { JobContext, JobOrder } from './job-order.ts';
import { afterRestore, newVolume } from './restore-rules.ts';
import { openRestoreTarget } from './restore-target.ts';
import { repositoryFor, type Services, timestamp, withMemory } from './services.ts';

export type RestorePlan = Extract<JobPlan, { kind: 'restore' }>;

/** `record`: the backup and, where the target is a registered volume, that volume. */
export function restoreOrder(
  services: Services,
  record: Pick<JobRecord, 'project_id' | 'backup_id' | 'volume_id'>,
  plan: RestorePlan,
  checkpoint?: Checkpoint,
): JobOrder {
  const { catalog } = services;
  const { project_id, backup_id, volume_id } = record;
  let manifest: BackupManifest | undefined;
  let written = checkpoint?.kind === 'restore' ? new Written(checkpoint.written) : undefined;
  return {
    kind: 'restore',
    project_id,
    backup_id,
    volume_id,
    bytes_per_second: plan.bytes_per_second,
    plan,
    leavable: true,
    run: async (context) => {
      const backup = catalog.get('backups', backup_id ?? '');
      if (backup === undefined)
        throw new Fault('BACKUP_UNKNOWN', `Cannot go on with the restore: backup "${backup_id}" has gone`);
      const volume = catalog.get('volumes', volume_id ?? '');
      written ??= new Written(volume?.written_ranges);
      return runRestore(services, context, { backup, plan, written }, (read) => {
        manifest = read;
      });
    },
    end: (changes, fault) => {
      const backup = catalog.get('backups', backup_id ?? '');
      if (backup !== undefined) releaseBackup(services, changes, backup);
      const restored = fault === undefined ? manifest : undefined;
      const volume = catalog.get('volumes', volume_id ?? '');
      if (volume !== undefined) {
        services.busyVolumes.delete(volume.id);
        const after =
          backup === undefined || restored === undefined
            ? volumeStatus.move(volume, 'error_restoring', { written_ranges: written?.report() ?? null })
            : { ...afterRestore(volume, backup, restored), written_ranges: null };
        changes.put('volumes', after);
      } else if (backup !== undefined && restored !== undefined) {
        registerNew(services, changes, plan, backup, restored);
      }
    },
  };
}

function registerNew(
  { clock }: Services,
  changes: Changes,
  { target: source, register_as: name, register_id }: RestorePlan,
  backup: BackupRecord,
  manifest: BackupManifest,
): void {
  if (name === null) return;
  const id = register_id ?? randomUUID();
  changes.put('volumes', newVolume({ id, name, source, now: timestamp(clock) }, backup, manifest));
}

/** Another restore of the same backup may go on. This one counts as finished by now, and so do those whose end is on its way. */
function releaseBackup(services: Services, changes: Changes, backup: BackupRecord): void {
  const others = services.jobs
    .activeFor(backup.id)
    .some(({ kind, finished_at }) => kind === 'restore' && finished_at === null);
  if (others || backup.status !== 'restoring') return;
  changes.put('backups', backupStatus.move(backup, 'available', { updated_at: timestamp(services.clock) }));
}

interface RestoreRun {
  readonly backup: BackupRecord;
  readonly plan: RestorePlan;
  readonly written: Written;
}

async function runRestore(
  services: Services,
  context: JobContext,
  { backup, plan, written }: RestoreRun,
  onManifest: (manifest: BackupManifest) => void,
): Promise<Readonly<Record<string, unknown>>> {
  const repository = await repositoryFor(services, context, backup.repository, 'read');
  return withMemory(services, context, 'restore', async (grant) => {
    const manifest = await repository.manifest(backup.id);
    onManifest(manifest);
    const image = repository.openImage(manifest);
    const { sizeBytes } = image;
    const { force, target: url } = plan;
    const order = { url, sizeBytes, force, written };
    const opened = await openRestoreTarget(services, context, order);
    if (opened === undefined) return { backup_id: backup.id, target: plan.target, restored_bytes: sizeBytes };
    const { target } = opened;
    if (!target.blank) context.account(() => accountOf(backup, target, opened.written));
    try {
      const counts = await restore({ ...copyParts(services, context, plan), ...opened, image, grant });
      await target.commit(() => context.commit());
      return {
        backup_id: backup.id,
        target: target.url,
        restored_bytes: counts.restoredBytes,
        written_bytes: counts.writtenBytes,
        zeroed_bytes: counts.zeroedBytes,
        unchanged_bytes: counts.unchangedBytes,
        tail_bytes: counts.tailBytes,
      };
    } catch (thrown) {
      // A file in the making stays for the next start of the daemon.
      await (isInterrupted(context.signal) ? target.leave() : target.abort());
      throw thrown;
    }
  });
}

const copyParts = (services: Services, { signal, progress, rate }: JobContext, plan: RestorePlan) => ({
  native: services.native,
  differential: plan.differential,
  progress,
  signal,
  rates: [rate, services.rates.write],
  copies: () => services.operations.running,
});

/** What is to be told of a restore that does not get to its end. */
const accountOf = (backup: BackupRecord, target: Target, written: Written) => {
  const { ranges, total_bytes, exact } = written.report();
  return {
    backup_id: backup.id,
    target: target.url,
    written_ranges: ranges,
    written_ranges_bytes: total_bytes,
    written_ranges_exact: exact,
  };
};
