/** Puts right what a daemon that was killed left half-done, before anything new begins.
 *  Promises: backups, restores and deletions go on by themselves, and their volumes stay locked for them; whatever else was
 *  under way is marked as interrupted, and leaves no file and no locked volume. Gives a sentence for each thing that it did. */

import { rm } from 'node:fs/promises';
import { Fault, faults, toFault } from '../base/faults.ts';
import { failReasonLengthMax, jobCrashesMax } from '../base/limits.ts';
import type { Changes } from '../catalog/catalog.ts';
import { recordOf } from '../catalog/rebuild.ts';
import type { BackupRecord, Checkpoint, JobPlan, JobRecord } from '../catalog/records.ts';
import { backupStatus, jobStatus, volumeStatus } from '../catalog/statuses.ts';
import { isPartialName } from '../devices/new-file.ts';
import type { SnapshotMakers } from '../devices/snapshots/makers.ts';
import { occupiedBy } from './backup-plan.ts';
import { backupOrder } from './backup-run.ts';
import { deleteOrder } from './delete-job.ts';
import { withEvent } from './history.ts';
import type { JobOrder } from './job-order.ts';
import { restoreOrder } from './restore-run.ts';
import { type Services, timestamp } from './services.ts';

type Local = Pick<Services, 'catalog' | 'clock' | 'snapshots'>;

/** Jobs that can't go on, their files and volumes: needs no repository. */
export async function recoverJobs(services: Local): Promise<string[]> {
  const { catalog } = services;
  const done: string[] = [];
  const lockedBy = new Set<string>();
  for (const job of Array.from(catalog.all('jobs'))) {
    const ended = jobStatus.hasEnded(job.status);
    if (!ended && job.plan !== null) {
      if (job.volume_id !== null) lockedBy.add(job.volume_id);
      continue;
    }
    const temporary_path = await clearTemporary(services, job, done);
    if (!ended) done.push(await markInterrupted(services, { ...job, temporary_path }));
    else if (job.temporary_path !== temporary_path)
      await catalog.commit((changes) => changes.put('jobs', { ...job, temporary_path }));
  }
  for (const volume of Array.from(catalog.all('volumes'))) {
    if (lockedBy.has(volume.id)) continue;
    if (volume.status !== 'backing-up' && volume.status !== 'restoring-backup') continue;
    const status = volume.status === 'backing-up' ? 'available' : 'error_restoring';
    const previous_status = volume.status === 'backing-up' ? 'error_backing-up' : volume.previous_status;
    await catalog.commit((changes) =>
      changes.put('volumes', volumeStatus.move(volume, status, { previous_status })),
    );
    done.push(`Volume "${volume.name}" is ${status} again`);
  }
  return done;
}

/** What is still there afterwards, and is for the next start to remove: null where nothing is. */
export async function clearTemporary(
  { snapshots }: Pick<Services, 'snapshots'>,
  { temporary_path: path }: JobRecord,
  done: string[],
): Promise<string | null> {
  if (path === null) return null;
  try {
    const gone = await removeTemporary(snapshots, path);
    done.push(
      gone ? `Removed "${path}", which a job had made for itself` : `Left "${path}" alone: it is not ours`,
    );
    return null;
  } catch (thrown) {
    done.push(`Cannot remove "${path}", which a job had made for itself: ${toFault(thrown).message}`);
    return path;
  }
}

/** What a job made for itself: a file in the making, or a temporary snapshot. False: it is neither, and stays. */
export async function removeTemporary(snapshots: SnapshotMakers, path: string): Promise<boolean> {
  const placed = snapshots.forPlace(path);
  if (placed !== undefined) await placed.maker.remove(path);
  else if (isPartialName(path)) await rm(path, { force: true });
  else return false;
  return true;
}

async function markInterrupted({ catalog, clock }: Local, job: JobRecord): Promise<string> {
  const now = timestamp(clock);
  const fault = {
    code: 'INTERRUPTED',
    message: `Interrupted job "${job.id}": the daemon was stopped`,
    hint: faults.INTERRUPTED.hint,
  } as const;
  const failed = jobStatus.move(job, 'failed', { finished_at: now, fault });
  await catalog.commit((changes) =>
    changes.put('jobs', withEvent(failed, now, 'interrupted', 'this kind of job does not go on by itself')),
  );
  return `Job "${job.id}" (${job.kind}) was interrupted`;
}

/** Takes up every job that goes on by itself, the oldest first. Gives a sentence and the id of each. */
export async function resumeJobs(services: Services): Promise<{ id: string; kind: string; what: string }[]> {
  const { catalog, jobs } = services;
  const resumed: { id: string; kind: string; what: string }[] = [];
  const adopted: Promise<void>[] = [];
  const unfinished = [...catalog.all('jobs')].filter(({ status }) => !jobStatus.hasEnded(status));
  unfinished.sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
  for (const job of unfinished) {
    if (job.plan === null) continue;
    const checkpoint = catalog.get('checkpoints', job.id);
    const record = interrupted(job, checkpoint?.position ?? 0, timestamp(services.clock));
    const order = orderFor(services, record, job.plan, checkpoint);
    const occupied = occupiedByJob(services, job);
    if (occupied !== null) services.busyVolumes.add(occupied);
    // Each is in line before the next one is; their records are flushed together.
    adopted.push(jobs.adopt(record, order, checkpoint));
    resumed.push({ id: job.id, kind: job.kind, what: `Job "${job.id}" (${job.kind}) goes on` });
  }
  await Promise.all(adopted);
  return resumed;
}

/** Id of the volume or snapshot that nobody else may use meanwhile. */
function occupiedByJob({ catalog }: Services, { kind, backup_id, volume_id }: JobRecord): string | null {
  const backup = kind === 'backup' ? catalog.get('backups', backup_id ?? '') : undefined;
  return backup === undefined ? volume_id : occupiedBy(backup);
}

/** One that was under way when the daemon ended without being asked to may be the reason: it is counted. */
function interrupted(job: JobRecord, position: number, now: string): JobRecord {
  if (job.status !== 'running') return withEvent(job, now, 'requeued');
  const { crashes } = job;
  const count = crashes.position === position ? crashes.count + 1 : 1;
  const queued = jobStatus.move(job, 'queued', { crashes: { position, count } });
  return withEvent(queued, now, 'interrupted', `the daemon was killed; byte ${position} is durable`);
}

function orderFor(
  services: Services,
  record: JobRecord,
  plan: JobPlan,
  checkpoint: Checkpoint | undefined,
): JobOrder {
  const order = orderOf(services, record, plan, checkpoint);
  const { count, position } = record.crashes;
  if (count < jobCrashesMax) return order;
  const message = `Gave up job "${record.id}": the daemon was killed ${count} times while it was at byte ${position}`;
  return { ...order, run: () => Promise.reject(new Fault('JOB_CRASHED', message)) };
}

function orderOf(
  services: Services,
  record: JobRecord,
  plan: JobPlan,
  checkpoint: Checkpoint | undefined,
): JobOrder {
  if (plan.kind === 'backup') return backupOrder(services, record, plan);
  if (plan.kind === 'restore') return restoreOrder(services, record, plan, checkpoint);
  return deleteOrder(services, record, plan);
}

/** Backups of a repository that were in the middle of something and have no job that goes on with it. Needs the repository,
 *  which alone knows whether a backup exists. */
export async function recoverBackups(services: Services, repository: string): Promise<string[]> {
  const done: string[] = [];
  for (const backup of Array.from(services.catalog.backups.unsettled())) {
    if (backup.repository !== repository) continue;
    try {
      const change = await changeFor(services, backup);
      if (change === undefined) continue;
      await services.catalog.commit(change.apply);
      done.push(`Backup "${backup.id}" was ${backup.status}: ${change.what}`);
    } catch (thrown) {
      // One that can't be put right now must not keep the others from it.
      done.push(`Backup "${backup.id}" stays ${backup.status}: ${toFault(thrown).message}`);
    }
  }
  return done;
}

async function changeFor(
  services: Services,
  backup: BackupRecord,
): Promise<{ apply: (changes: Changes) => void; what: string } | undefined> {
  if (services.jobs.activeFor(backup.id).length > 0) return undefined;
  const updated_at = timestamp(services.clock);
  const repository = await services.repositories.of(backup);
  switch (backup.status) {
    case 'creating': {
      const manifest = await repository.manifest(backup.id).catch((thrown: unknown) => {
        if (thrown instanceof Fault && thrown.code === 'MANIFEST_MISSING') return undefined;
        throw thrown;
      });
      const fail_reason = 'the daemon was stopped before it was complete';
      const record =
        manifest === undefined
          ? backupStatus.move(backup, 'error', { fail_reason, updated_at })
          : recordOf(manifest, backup.repository, updated_at);
      const what =
        manifest === undefined ? 'it is in error now' : 'its manifest was written, it is available';
      return { apply: (changes) => changes.put('backups', record), what };
    }
    case 'restoring': {
      const record = backupStatus.move(backup, 'available', { updated_at });
      return { apply: (changes) => changes.put('backups', record), what: 'it is available again' };
    }
    case 'deleting': {
      const failed = await repository.removeManifest(backup.id).then(() => undefined, toFault);
      if (failed !== undefined) {
        const fail_reason = failed.message.slice(0, failReasonLengthMax);
        const record = backupStatus.move(backup, 'error_deleting', { fail_reason, updated_at });
        return { apply: (changes) => changes.put('backups', record), what: fail_reason };
      }
      return { apply: (changes) => changes.remove('backups', backup.id), what: 'its deletion was finished' };
    }
    case 'available':
    case 'error':
    case 'error_deleting':
    case 'deleted':
      break;
  }
  return undefined;
}
