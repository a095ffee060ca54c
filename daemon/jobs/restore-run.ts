/** The running part of a restore, made from what the catalog holds: at its begin, and again after the daemon ended.
 *  Promises: a new file has its name only when it is whole; a restore that failed after it may have written to something that existed
 *  says so in the volume's status, and one that was refused before leaves it as it was. */

import { randomUUID } from 'node:crypto';
import { Fault } from '../base/faults.ts';
import type { Changes } from '../catalog/catalog.ts';
import type { BackupRecord, Checkpoint, JobPlan, JobRecord, VolumeRecord } from '../catalog/records.ts';
import { backupStatus, volumeStatus } from '../catalog/statuses.ts';
import type { Target } from '../devices/device.ts';
import type { BackupManifest } from '../format/manifest.ts';
import { isInterrupted } from '../pipeline/checkpoints.ts';
import { type RestoreCounts, restore } from '../pipeline/restore.ts';
import { Written } from '../pipeline/written.ts';
import { attachFor, endHold } from './attached-device.ts';
import type { Hold } from './attachments/attachments.ts';
import { identityIn, viewOf } from './attachments/seen.ts';
import type { JobContext, JobOrder } from './job-order.ts';
import { storedLocation } from './locations.ts';
import { afterRestore, newVolume } from './restore-rules.ts';
import { openRestoreTarget } from './restore-target.ts';
import { whileSame } from './same-device.ts';
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
  let identity: VolumeRecord['identity'] = null;
  const earlier = checkpoint?.kind === 'restore' ? checkpoint : undefined;
  let written = earlier === undefined ? undefined : new Written(earlier.written);
  // The first checkpoint comes before the first write.
  const nothingWritten = () => earlier === undefined && written?.hasGrown !== true;
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
      const learned = {
        manifest: (read: BackupManifest) => {
          manifest = read;
        },
        identity: (seen: VolumeRecord['identity']) => {
          identity = seen;
        },
      };
      return runRestore(services, context, { backup, volume, plan, written }, learned);
    },
    end: (changes, fault) => {
      const backup = catalog.get('backups', backup_id ?? '');
      if (backup !== undefined) releaseBackup(services, changes, backup);
      const restored = fault === undefined ? manifest : undefined;
      const volume = catalog.get('volumes', volume_id ?? '');
      if (volume !== undefined) {
        services.busyVolumes.delete(volume.id);
        if (backup !== undefined && restored !== undefined)
          changes.put('volumes', { ...afterRestore(volume, backup, restored), written_ranges: null });
        else if (nothingWritten()) changes.put('volumes', asBefore(volume));
        else {
          const written_ranges = written?.report() ?? null;
          changes.put('volumes', volumeStatus.move(volume, 'error_restoring', { written_ranges }));
        }
      } else if (backup !== undefined && restored !== undefined) {
        registerNew(services, changes, { plan, identity }, backup, restored);
      }
    },
  };
}

/** Of an earlier restore the ranges are still told. */
const asBefore = (volume: VolumeRecord): VolumeRecord =>
  volumeStatus.move(volume, volume.previous_status === 'error_restoring' ? 'error_restoring' : 'available');

function registerNew(
  { clock }: Services,
  changes: Changes,
  { plan, identity }: { readonly plan: RestorePlan; readonly identity: VolumeRecord['identity'] },
  backup: BackupRecord,
  manifest: BackupManifest,
): void {
  const { target: source, register_as: name, register_id, connection = null } = plan;
  if (name === null) return;
  const id = register_id ?? randomUUID();
  const now = timestamp(clock);
  changes.put('volumes', newVolume({ id, name, source, connection, identity, now }, backup, manifest));
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
  /** The registered target. */
  readonly volume: VolumeRecord | undefined;
  readonly plan: RestorePlan;
  readonly written: Written;
}

async function runRestore(
  services: Services,
  context: JobContext,
  { backup, volume, plan, written }: RestoreRun,
  learned: Learned,
): Promise<Readonly<Record<string, unknown>>> {
  const repository = await repositoryFor(services, context, backup.repository, 'read');
  return withMemory(services, context, 'restore', async (grant) => {
    const manifest = await repository.manifest(backup.id);
    learned.manifest(manifest);
    const image = repository.openImage(manifest);
    const hold = await holdOf(services, context, plan, volume);
    if (hold !== undefined) learned.identity(identityIn(viewOf(hold.found)));
    try {
      const order = { url: plan.target, hold, sizeBytes: image.sizeBytes, force: plan.force, written };
      const opened = await openRestoreTarget(services, context, order);
      if (opened === undefined)
        return { backup_id: backup.id, target: plan.target, restored_bytes: image.sizeBytes };
      const { target } = opened;
      if (!target.blank) context.account(() => accountOf(backup, target, opened.written));
      return await whileSame(hold, context.signal, (signal) =>
        writeAll(context, backup, target, () =>
          restore({ ...copyParts(services, context, plan), signal, ...opened, image, grant }),
        ),
      );
    } finally {
      await endHold(hold, context);
    }
  });
}

/** What the run finds out that its end has to know. */
interface Learned {
  readonly manifest: (manifest: BackupManifest) => void;
  readonly identity: (identity: VolumeRecord['identity']) => void;
}

/** The device to restore to, where it has to be attached. */
async function holdOf(
  services: Services,
  context: JobContext,
  { target: source, connection = null }: RestorePlan,
  volume: VolumeRecord | undefined,
): Promise<Hold | undefined> {
  const location = storedLocation(services.connectors, { source, connection });
  if (location.where === 'here') return undefined;
  return attachFor(services, context, { location, access: 'write', volume });
}

async function writeAll(
  context: JobContext,
  backup: BackupRecord,
  target: Target,
  write: () => Promise<RestoreCounts>,
): Promise<Readonly<Record<string, unknown>>> {
  try {
    const counts = await write();
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
}

const copyParts = (services: Services, { progress, rate }: JobContext, plan: RestorePlan) => ({
  native: services.native,
  differential: plan.differential,
  progress,
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
