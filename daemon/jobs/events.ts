/** What happens to backups, told as it happens: a ring of the last events, and whoever follows.
 *
 *    job ─(begun · running · ended)▶ event ─▶ ring, followers
 *
 *  Promises: of each job one start, then progress now and then, then one end, which comes after the end is durable; a job that
 *  goes on after a restart starts again; the ring is
 *  bounded, and holds of a running job no more than the newest progress, of an ended one none.
 *  Knows nothing of sockets, programs and rights. */

import { randomUUID } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { eventsRememberedMax, failReasonLengthMax } from '../base/limits.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackupRecord, JobKind } from '../catalog/records.ts';
import { gigabytesOf } from '../catalog/usage.ts';
import type { JobReport } from './report.ts';

export const eventKinds = ['create', 'restore', 'delete'] as const;
export type EventKind = (typeof eventKinds)[number];
export type EventStep = 'start' | 'progress' | 'end';

/** Names of the fields are Cinder's where its notifications have the thing. */
export interface BackupEvent {
  readonly id: string;
  readonly time: string;
  readonly event: `${EventKind}.${EventStep}`;
  readonly job_id: string;
  readonly project_id: string;
  readonly host: string;
  readonly backup_id: string;
  readonly backup_name: string | null;
  /** Of the backup, after what happened. */
  readonly status: string;
  readonly fail_reason: string;
  readonly volume_id: string;
  readonly volume_name: string;
  /** The registered volume that a restore writes to. */
  readonly restore_volume_id: string | null;
  readonly parent_id: string | null;
  readonly snapshot_id: string | null;
  readonly container: string | null;
  readonly availability_zone: string | null;
  readonly created_at: string;
  readonly size: number;
  readonly size_bytes: number;
  readonly percent: number;
  readonly bytes_done: number;
  readonly bytes_total: number;
  readonly bytes_per_second: number;
  /** Of an end: why it did not end well. */
  readonly error: { readonly code: string; readonly message: string; readonly hint: string } | null;
}

export type JobStage = 'begun' | 'running' | 'suspended' | 'ended';

interface Live {
  readonly kind: EventKind;
  backup: BackupRecord;
  isStarted: boolean;
  timer: NodeJS.Timeout | undefined;
  /** Its newest event of progress in the ring. */
  progressId: string | undefined;
}

export interface EventsParts {
  readonly catalog: Pick<Catalog, 'get'>;
  readonly clock: Clock;
  readonly host: string;
  /** How often a running job tells of its progress; null: never. */
  readonly progressEveryMs: number | null;
}

const kindOf: Partial<Readonly<Record<JobKind, EventKind>>> = {
  backup: 'create',
  restore: 'restore',
  delete: 'delete',
};

export class Events {
  readonly #parts: EventsParts;
  readonly #live = new Map<string, Live>();
  /** In the order in which they happened. */
  readonly #ring = new Map<string, BackupEvent>();
  readonly #followers = new Set<(event: BackupEvent) => void>();

  constructor(parts: EventsParts) {
    this.#parts = parts;
  }

  /** Told by `Jobs` of every job; `look` gives its report of the moment. */
  observe(stage: JobStage, look: () => JobReport): void {
    const { id, kind: jobKind, backup_id } = look().record;
    const kind = kindOf[jobKind];
    const backup = backup_id === null ? undefined : this.#parts.catalog.get('backups', backup_id);
    if (stage === 'begun' && kind !== undefined && backup !== undefined) {
      const live = { kind, backup, isStarted: false, timer: undefined, progressId: undefined };
      this.#live.set(id, live);
      // A deletion waits for nothing.
      if (kind === 'delete') this.#start(live, look);
      return;
    }
    const live = this.#live.get(id);
    if (live === undefined) return;
    if (stage === 'suspended') {
      // The daemon stops: the job starts again with the next one, and ends there.
      clearInterval(live.timer);
      this.#live.delete(id);
      return;
    }
    // So that each end has its start, also of a job that ended while it was queued.
    this.#start(live, look);
    if (stage === 'ended') this.#end(live, look());
  }

  /** The last events that are wanted, oldest first. */
  last(count: number, isWanted: (event: BackupEvent) => boolean): BackupEvent[] {
    const wanted = [...this.#ring.values()].filter(isWanted);
    return wanted.slice(Math.max(0, wanted.length - count));
  }

  /** `listener` hears every event from now on; gives the function that ends it. */
  follow(listener: (event: BackupEvent) => void): () => void {
    this.#followers.add(listener);
    return () => void this.#followers.delete(listener);
  }

  #start(live: Live, look: () => JobReport): void {
    if (live.isStarted) return;
    live.isStarted = true;
    this.#tell(live, 'start', look());
    const { progressEveryMs } = this.#parts;
    if (progressEveryMs === null || live.kind === 'delete') return;
    live.timer = setInterval(() => this.#progress(live, look()), progressEveryMs).unref();
  }

  #progress(live: Live, report: JobReport): void {
    this.#forgetProgress(live);
    live.progressId = this.#tell(live, 'progress', report);
  }

  #end(live: Live, report: JobReport): void {
    clearInterval(live.timer);
    this.#live.delete(report.record.id);
    this.#forgetProgress(live);
    this.#tell(live, 'end', report);
  }

  #forgetProgress({ progressId }: Live): void {
    if (progressId !== undefined) this.#ring.delete(progressId);
  }

  #tell(live: Live, step: EventStep, report: JobReport): string {
    const known = this.#parts.catalog.get('backups', live.backup.id);
    const isGone = known === undefined && live.kind === 'delete' && step === 'end';
    live.backup = known ?? live.backup;
    const time = new Date(this.#parts.clock.now()).toISOString();
    const event: BackupEvent = {
      id: randomUUID(),
      time,
      event: `${live.kind}.${step}`,
      host: this.#parts.host,
      ...aboutBackup(live.backup, isGone ? goneStatus : live.backup.status),
      ...aboutJob(report, live.kind),
    };
    this.#ring.set(event.id, event);
    for (const oldest of this.#ring.keys()) {
      if (this.#ring.size <= eventsRememberedMax) break;
      this.#ring.delete(oldest);
    }
    for (const listener of this.#followers) listener(event);
    return event.id;
  }
}

/** Of a backup whose record has gone with it. */
const goneStatus = 'deleted';

function aboutBackup(backup: BackupRecord, status: string) {
  const { fail_reason, volume_id, volume_name, parent_id, snapshot_id, size_bytes } = backup;
  const { container, availability_zone, created_at } = backup;
  return {
    backup_id: backup.id,
    backup_name: backup.name,
    status,
    fail_reason,
    volume_id,
    volume_name,
    parent_id,
    snapshot_id,
    container,
    availability_zone,
    created_at,
    size: gigabytesOf(size_bytes),
    size_bytes,
  };
}

function aboutJob({ record, bytesDone, bytesTotal, bytesPerSecond }: JobReport, kind: EventKind) {
  const percent = bytesTotal === 0 ? 0 : Math.floor((bytesDone * 100) / bytesTotal);
  return {
    job_id: record.id,
    project_id: record.project_id,
    restore_volume_id: kind === 'restore' ? record.volume_id : null,
    percent: record.status === 'done' ? 100 : percent,
    bytes_done: bytesDone,
    bytes_total: bytesTotal,
    bytes_per_second: bytesPerSecond,
    error:
      record.fault === null
        ? null
        : { ...record.fault, message: record.fault.message.slice(0, failReasonLengthMax) },
  };
}
