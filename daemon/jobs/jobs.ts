/** All jobs of this daemon: begun, watched, cancelled, remembered.
 *
 *    submit ─(record in the catalog)▶ queued ─▶ running ─▶ done | failed | cancelled ─(record)▶ remembered
 *
 *  Promises: a job's record is durable before the job does anything, and its end is durable before anybody is told; a job
 *  ends once; at most `jobsRememberedMax` ended jobs are kept. Knows nothing of what a job does. */

import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/faults.ts';
import { jobsRememberedMax, jobsUnderWayMax } from '../base/limits.ts';
import type { Catalog, Changes } from '../catalog/catalog.ts';
import type { JobKind, JobRecord, JobStatus } from '../catalog/records.ts';
import { Rate } from '../pipeline/rate.ts';
import { jobHasEnded, jobMayBecome } from './job-status.ts';
import { endedReport, type JobReport, RateMeter } from './report.ts';

export interface JobContext {
  readonly id: string;
  readonly project: string;
  readonly signal: AbortSignal;
  /** The job's own rate; it may change while the job runs. */
  readonly rate: Rate;
  readonly progress: (done: { bytesDone: number; bytesTotal: number; phase: string }) => void;
  /** Says what the job waits for; null: it goes on. */
  readonly waitFor: (what: string | null) => void;
  /** Remembers, durably, a file that a restart must remove if the job does not get to its end. */
  readonly journalTemporary: (path: string) => Promise<void>;
}

export interface JobOrder {
  readonly kind: JobKind;
  readonly project_id: string;
  readonly backup_id: string | null;
  readonly volume_id: string | null;
  /** Rate of the job; absent or 0: no limit of its own. */
  readonly bytes_per_second?: number | undefined;
  /** Committed together with the job's record. */
  readonly begin?: (changes: Changes) => void;
  /** Gives the result. What it throws is the fault of the job; `details` of a Fault are kept as the result. */
  readonly run: (context: JobContext) => Promise<Readonly<Record<string, unknown>>>;
  /** Committed together with the end of the job, however it ended. */
  readonly end?: (changes: Changes, fault: Fault | undefined) => void;
}

interface Live {
  record: JobRecord;
  readonly controller: AbortController;
  readonly meter: RateMeter;
  readonly rate: Rate;
  readonly listeners: Set<(report: JobReport) => void>;
  phase: string;
  bytesDone: number;
  bytesTotal: number;
  waitingFor: string | null;
  finished: Promise<void>;
}

export interface JobsParts {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Jobs {
  readonly #parts: JobsParts;
  readonly #live = new Map<string, Live>();
  #stopping = false;
  /** Last sign of life of any job, for the watchdog. */
  lastProgressAtMs: number;

  constructor(parts: JobsParts) {
    this.#parts = parts;
    this.lastProgressAtMs = parts.clock.now();
  }

  get counts(): { running: number; queued: number } {
    const all = [...this.#live.values()];
    const running = all.filter(({ record }) => record.status === 'running').length;
    return { running, queued: all.length - running };
  }

  /** Begins a job. Resolves when its record is durable; DAEMON_STOPPING, TOO_MANY. */
  async submit(order: JobOrder): Promise<JobRecord> {
    if (this.#stopping) throw new Fault('DAEMON_STOPPING', 'Cannot begin a job: the daemon is stopping');
    if (this.#live.size >= jobsUnderWayMax) {
      throw new Fault('TOO_MANY', `Cannot begin a job: ${jobsUnderWayMax} are under way or queued`);
    }
    const { kind, project_id, backup_id, volume_id } = order;
    this.#refuseDuringRebuild(kind);
    const record: JobRecord = {
      id: randomUUID(),
      kind,
      status: 'queued',
      project_id,
      backup_id,
      volume_id,
      created_at: this.#now(),
      finished_at: null,
      fault: null,
      result: null,
      temporary_path: null,
      bytes_done: 0,
      bytes_total: 0,
    };
    const live: Live = {
      record,
      controller: new AbortController(),
      meter: new RateMeter(),
      rate: new Rate(order.bytes_per_second ?? 0),
      listeners: new Set(),
      phase: 'queued',
      bytesDone: 0,
      bytesTotal: 0,
      waitingFor: null,
      finished: Promise.resolve(),
    };
    this.#live.set(record.id, live);
    const recorded = this.#parts.catalog.commit((changes) => {
      changes.put('jobs', record);
      order.begin?.(changes);
    });
    // Who waits for the end of a job waits for its begin, too: it may be cancelled or stopped right now.
    live.finished = recorded.then(
      () => this.#run(live, order),
      () => void this.#live.delete(record.id),
    );
    await recorded;
    return record;
  }

  report(id: string): JobReport {
    const live = this.#live.get(id);
    if (live !== undefined) return this.#reportOf(live);
    const record = this.#parts.catalog.get('jobs', id);
    if (record === undefined) throw new Fault('JOB_UNKNOWN', `Cannot find job "${id}"`);
    return endedReport(record);
  }

  /** Jobs that have not ended; reads nothing. */
  active(): JobReport[] {
    return [...this.#live.values()].map((live) => this.#reportOf(live));
  }

  /** All jobs, newest first. */
  list(): JobReport[] {
    const ended = [...this.#parts.catalog.all('jobs')]
      .filter(({ id }) => !this.#live.has(id))
      .map(endedReport);
    const reports = [...this.active(), ...ended];
    return reports.sort((a, b) => (a.record.created_at < b.record.created_at ? 1 : -1));
  }

  /** Jobs that have not ended and have to do with a backup. */
  activeFor(backupId: string): JobRecord[] {
    return [...this.#live.values()]
      .map(({ record }) => record)
      .filter(({ backup_id }) => backup_id === backupId);
  }

  /** Tells `listener` of changes until the job has ended; resolves with the last report. */
  async watch(id: string, listener: (report: JobReport) => void, signal: AbortSignal): Promise<JobReport> {
    const live = this.#live.get(id);
    if (live === undefined) return this.report(id);
    live.listeners.add(listener);
    listener(this.#reportOf(live));
    let leave: () => void = () => undefined;
    const gone = new Promise<void>((resolve) => {
      leave = resolve;
      signal.addEventListener('abort', leave, { once: true });
    });
    try {
      if (!signal.aborted) await Promise.race([live.finished, gone]);
    } finally {
      live.listeners.delete(listener);
      signal.removeEventListener('abort', leave);
    }
    return this.#reportOf(live);
  }

  /** Asks a job to stop and waits until it has; one that has ended stays as it is. */
  async cancel(id: string): Promise<JobReport> {
    const live = this.#live.get(id);
    if (live === undefined) return this.report(id);
    live.controller.abort(new Fault('CANCELLED', `Cancelled job "${id}" by request`));
    await live.finished;
    return this.#reportOf(live);
  }

  /** Changes the rate of a job; one that has ended stays as it is. */
  limit(id: string, bytesPerSecond: number): JobReport {
    const live = this.#live.get(id);
    if (live !== undefined) live.rate.bytesPerSecond = bytesPerSecond;
    return this.report(id);
  }

  /** Takes no more jobs, stops those there are, and waits for them. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const all = [...this.#live.values()];
    for (const { controller, record } of all) {
      controller.abort(new Fault('INTERRUPTED', `Interrupted job "${record.id}": the daemon is stopping`));
    }
    await Promise.all(all.map(({ finished }) => finished));
  }

  async #run(live: Live, order: JobOrder): Promise<void> {
    const { log } = this.#parts;
    const { id, kind } = live.record;
    let fault: Fault | undefined;
    let result: Readonly<Record<string, unknown>> | null = null;
    try {
      result = await order.run(this.#contextOf(live));
    } catch (thrown) {
      fault = toFault(thrown);
      result = fault.details ?? null;
      if (fault.code === 'INTERNAL')
        log.error({ job: id, err: thrown }, 'A job failed for a reason that is a bug');
    }
    const stopped = fault?.code === 'CANCELLED';
    const status: JobStatus = fault === undefined ? 'done' : stopped ? 'cancelled' : 'failed';
    this.#move(live, status);
    live.record = {
      ...live.record,
      finished_at: this.#now(),
      temporary_path: null,
      bytes_done: live.bytesDone,
      bytes_total: live.bytesTotal,
      result,
      fault: fault === undefined ? null : { code: fault.code, message: fault.message, hint: fault.hint },
    };
    live.phase = status;
    await this.#parts.catalog
      .commit((changes) => {
        changes.put('jobs', live.record);
        order.end?.(changes, fault);
        this.#forgetOldest(changes);
      })
      .catch((thrown: unknown) => {
        log.error({ job: id, err: thrown }, 'The end of a job is not in the catalog; a restart finds out');
        // W4 never without W3: what is not in the catalog is not told as done.
        const { code, message, hint } = toFault(thrown);
        live.record = { ...live.record, status: 'failed', fault: { code, message, hint } };
        live.phase = 'failed';
      });
    log.info({ job: id, kind, status, fault: fault?.code, why: fault?.message }, 'A job has ended');
    const report = this.#reportOf(live);
    this.#live.delete(id);
    for (const listener of live.listeners) listener(report);
  }

  /** A rebuild empties the index and replaces records: nothing else may read the one or write the other meanwhile. */
  #refuseDuringRebuild(kind: JobKind): void {
    if (kind === 'unmount') return;
    for (const { record } of this.#live.values()) {
      if (record.kind !== 'rebuild' || record.finished_at !== null) continue;
      throw new Fault('REPOSITORY_LOCKED', `Cannot begin a job: job "${record.id}" makes the catalog anew`, {
        hint: 'Wait for it to end, and run the command again: basaltctl job list',
      });
    }
  }

  #contextOf(live: Live): JobContext {
    return {
      id: live.record.id,
      project: live.record.project_id,
      signal: live.controller.signal,
      rate: live.rate,
      progress: ({ bytesDone, bytesTotal, phase }) => {
        if (live.record.status === 'queued') this.#move(live, 'running');
        const nowMs = this.#parts.clock.now();
        this.lastProgressAtMs = nowMs;
        live.meter.add(nowMs, bytesDone);
        Object.assign(live, { bytesDone, bytesTotal, phase });
        this.#tell(live);
      },
      waitFor: (what) => {
        this.lastProgressAtMs = this.#parts.clock.now();
        live.waitingFor = what;
        if (what === null && live.record.status === 'queued') this.#move(live, 'running');
        live.phase = what === null ? 'starting' : 'queued';
        this.#tell(live);
      },
      journalTemporary: async (path) => {
        live.record = { ...live.record, temporary_path: path };
        await this.#parts.catalog.commit((changes) => changes.put('jobs', live.record));
      },
    };
  }

  #move(live: Live, status: JobStatus): void {
    const from = live.record.status;
    // A job that never reported progress ends straight from the queue.
    if (from === 'queued' && status === 'done') live.record = { ...live.record, status: 'running' };
    assert(jobMayBecome(live.record.status, status), `a job that is ${from} may become ${status}`);
    live.record = { ...live.record, status };
  }

  #tell(live: Live): void {
    if (live.listeners.size === 0) return;
    const report = this.#reportOf(live);
    for (const listener of live.listeners) listener(report);
  }

  #reportOf(live: Live): JobReport {
    const { record, phase, bytesDone, bytesTotal, waitingFor, meter, rate } = live;
    const bytesPerSecond = meter.bytesPerSecond(this.#parts.clock.now());
    const left = bytesTotal - bytesDone;
    const secondsLeft = bytesPerSecond > 0 && left > 0 ? Math.ceil(left / bytesPerSecond) : null;
    return {
      record,
      phase,
      bytesDone,
      bytesTotal,
      bytesPerSecond,
      secondsLeft,
      waitingFor,
      limitBytesPerSecond: rate.bytesPerSecond,
    };
  }

  #forgetOldest(changes: Changes): void {
    const tooMany = this.#parts.catalog.count('jobs') - jobsRememberedMax;
    if (tooMany <= 0) return;
    const ended = [...this.#parts.catalog.all('jobs')].filter(({ status }) => jobHasEnded(status));
    ended.sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
    for (const { id } of ended.slice(0, tooMany + 64)) changes.remove('jobs', id);
  }

  #now(): string {
    return new Date(this.#parts.clock.now()).toISOString();
  }
}
