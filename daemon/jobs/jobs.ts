/** All jobs of this daemon: begun, watched, cancelled, remembered, and taken up again.
 *
 *    submit ─(record in the catalog)▶ queued ─▶ running ─▶ done | failed | cancelled ─(record)▶ remembered
 *                                       ▲          │
 *                                       └─ adopt ◀─┘ the daemon stops, or is killed: a job with a plan goes on at the next start
 *
 *  Promises: a job's record is durable before the job does anything, and its end is durable before anybody is told; a job
 *  ends once; a cancelled one ends within `cancelGraceMs`, even where its device hangs; at most `jobsRememberedMax` ended jobs
 *  are kept. Knows nothing of what a job does. */

import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { unlessAborted } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/faults.ts';
import {
  cancelGraceMs,
  jobsRememberedMax,
  jobsUnderWayMax,
  stopGraceMs,
  stopJobGraceMs,
} from '../base/limits.ts';
import type { Catalog, Changes } from '../catalog/catalog.ts';
import type { Checkpoint, JobKind, JobRecord } from '../catalog/records.ts';
import { jobStatus } from '../catalog/statuses.ts';
import type { JobStage } from './events.ts';
import { withEvent } from './history.ts';
import { contextOf } from './job-context.ts';
import type { JobOrder } from './job-order.ts';
import { Live } from './live.ts';
import { endedReport, type JobReport } from './report.ts';

export interface JobsParts {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of what becomes of each job; `look` gives its report of the moment. */
  readonly observe?: (stage: JobStage, look: () => JobReport) => void;
  /** Removes what a job had journaled as temporary, where it is still there. */
  readonly removeTemporary?: (path: string) => Promise<unknown>;
}

/** What a job is told as whose end could not be recorded: told only, never written. */
const unrecorded = 'failed';

/** How a run came out; `left` where it still hangs in a device. */
interface Outcome {
  readonly result: Readonly<Record<string, unknown>> | null;
  readonly fault: Fault | undefined;
  readonly left: boolean;
}

export class Jobs {
  readonly #parts: JobsParts;
  readonly #live = new Map<string, Live>();
  /** Runs that go on after their jobs were ended over their heads. */
  readonly #tails = new Map<string, Promise<void>>();
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
      status: jobStatus.begin('queued'),
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
      history: [],
      plan: order.plan ?? null,
      crashes: { position: 0, count: 0 },
    };
    const queued = withEvent(record, record.created_at, 'queued');
    return this.#begin(queued, order, undefined);
  }

  /** Takes up a job that an earlier daemon left, under the same id. */
  async adopt(record: JobRecord, order: JobOrder, checkpoint: Checkpoint | undefined): Promise<void> {
    await this.#begin(record, order, checkpoint);
  }

  async #begin(record: JobRecord, order: JobOrder, checkpoint: Checkpoint | undefined): Promise<JobRecord> {
    const live = new Live(record, this.#parts.clock, order.bytes_per_second ?? 0, checkpoint);
    live.onRunning = () => this.#observe('running', live);
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
    if (live !== undefined) return live.report();
    const record = this.#parts.catalog.get('jobs', id);
    if (record === undefined) throw new Fault('JOB_UNKNOWN', `Cannot find job "${id}"`);
    return endedReport(record);
  }

  /** Jobs that have not ended; reads nothing. */
  active(): JobReport[] {
    return [...this.#live.values()].map((live) => live.report());
  }

  /** All jobs, newest first. */
  list(): JobReport[] {
    const ended = [...this.#parts.catalog.all('jobs')]
      .filter(({ id }) => !this.#live.has(id))
      .map(endedReport);
    const reports = [...this.active(), ...ended];
    return reports.sort((a, b) => (a.record.created_at < b.record.created_at ? 1 : -1));
  }

  /** Whether the run of a job that has ended is still under way, and will clean up by itself. */
  hangs(id: string): boolean {
    return this.#tails.has(id);
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
    listener(live.report());
    try {
      await unlessAborted(live.finished, signal);
    } finally {
      live.listeners.delete(listener);
    }
    return live.report();
  }

  /** Asks a job to stop and waits until it has; one that has ended stays as it is. */
  async cancel(id: string): Promise<JobReport> {
    const live = this.#live.get(id);
    if (live === undefined) return this.report(id);
    live.controller.abort(new Fault('CANCELLED', `Cancelled job "${id}" by request`));
    await live.finished;
    return live.report();
  }

  /** Changes the rate of a job; one that has ended stays as it is. */
  limit(id: string, bytesPerSecond: number): JobReport {
    const live = this.#live.get(id);
    if (live !== undefined) live.rate.bytesPerSecond = bytesPerSecond;
    return this.report(id);
  }

  /** Takes no more jobs, stops those there are, and waits for them. Those with a plan go on at the next start. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const all = [...this.#live.values()];
    for (const { controller, record } of all) {
      controller.abort(new Fault('INTERRUPTED', `Interrupted job "${record.id}": the daemon is stopping`));
    }
    await Promise.all(all.map(({ finished }) => finished));
    // What hangs in a device ends with the process.
    const patience = new Promise((resolve) => setTimeout(resolve, stopGraceMs).unref());
    await Promise.race([Promise.all(this.#tails.values()), patience]);
  }

  #observe(stage: JobStage, live: Live): void {
    this.#parts.observe?.(stage, () => live.report());
  }

  async #run(live: Live, order: JobOrder): Promise<void> {
    this.#observe('begun', live);
    const outcome = await this.#outcomeOf(live, order);
    live.left = true;
    const interrupted = outcome.fault?.code === 'INTERRUPTED' && order.plan !== undefined;
    if (interrupted) await this.#suspend(live);
    else await this.#end(live, order, outcome);
    const report = live.report();
    this.#live.delete(live.record.id);
    this.#observe(interrupted ? 'suspended' : 'ended', live);
    for (const listener of live.listeners) listener(report);
  }

  /** Runs the order. Where it hangs after a cancellation or the stop, it is left behind. */
  #outcomeOf(live: Live, order: JobOrder): Promise<Outcome> {
    const { log } = this.#parts;
    const running = order.run(contextOf(live, this.#parts, () => this.#beat())).then(
      (result): Outcome => ({ result, fault: undefined, left: false }),
      (thrown: unknown): Outcome => {
        const fault = toFault(thrown);
        if (fault.code === 'INTERNAL')
          log.error({ job: live.record.id, err: thrown }, 'A job failed for a reason that is a bug');
        return { result: fault.details ?? live.account?.() ?? null, fault, left: false };
      },
    );
    if (order.leavable !== true) return running;
    return new Promise((resolve) => {
      const { signal } = live.controller;
      let timer: NodeJS.Timeout | undefined;
      const leave = () => {
        if (live.committed) return;
        const fault = toFault(signal.reason);
        this.#follow(live, running);
        resolve({ result: live.account?.() ?? null, fault, left: true });
      };
      const onAbort = () => {
        timer = setTimeout(leave, this.#stopping ? stopJobGraceMs : cancelGraceMs);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      void running.then((outcome) => {
        signal.removeEventListener('abort', onAbort);
        clearTimeout(timer);
        resolve(outcome);
      });
    });
  }

  /** Stays with a run that was left behind, until what it was making is gone. */
  #follow(live: Live, running: Promise<Outcome>): void {
    const { catalog, log } = this.#parts;
    const { id } = live.record;
    log.warn(
      { job: id },
      'A job was ended while its device or the repository hangs; what it held comes back later',
    );
    const tail = running
      .then(async () => {
        log.info({ job: id }, 'What a job had left hanging has come back');
        const temporary_path = await this.#removeTemporary(live);
        const record = catalog.get('jobs', id);
        if (record === undefined || !jobStatus.hasEnded(record.status)) return;
        await catalog.commit((changes) => changes.put('jobs', { ...record, temporary_path }));
      })
      .catch((thrown: unknown) => log.error({ job: id, err: thrown }, 'Cannot record what a job had left'))
      .finally(() => this.#tails.delete(id));
    this.#tails.set(id, tail);
  }

  /** The daemon stops: the job waits for the next start. */
  async #suspend(live: Live): Promise<void> {
    const { catalog, log } = this.#parts;
    live.note('interrupted', `the daemon was stopped; byte ${live.checkpoint?.position ?? 0} is durable`);
    live.move('queued', { bytes_done: live.bytesDone, bytes_total: live.bytesTotal });
    live.phase = 'interrupted';
    const { record } = live;
    await catalog
      .commit((changes) => changes.put('jobs', record))
      .catch((thrown: unknown) =>
        log.error({ job: record.id, err: thrown }, 'Cannot record an interruption'),
      );
    log.info({ job: record.id, kind: record.kind }, 'A job is interrupted; it goes on at the next start');
  }

  async #end(live: Live, order: JobOrder, { result, fault, left }: Outcome): Promise<void> {
    const { log, catalog } = this.#parts;
    const { id, kind } = live.record;
    const temporary = left ? live.record.temporary_path : await this.#removeTemporary(live);
    const status = fault === undefined ? 'done' : fault.code === 'CANCELLED' ? 'cancelled' : 'failed';
    live.told = live.record;
    live.move(status, {
      finished_at: this.#now(),
      // Who was left behind may still be making it; and what can't be removed now is for the next start.
      temporary_path: temporary,
      bytes_done: live.bytesDone,
      bytes_total: live.bytesTotal,
      result,
      fault: fault === undefined ? null : { code: fault.code, message: fault.message, hint: fault.hint },
    });
    live.note(status, fault === undefined || status === 'cancelled' ? '' : fault.message);
    await catalog
      .commit((changes) => {
        changes.put('jobs', live.record);
        changes.remove('checkpoints', id);
        order.end?.(changes, fault);
        this.#forgetOldest(changes);
      })
      .catch((thrown: unknown) => {
        log.error({ job: id, err: thrown }, 'The end of a job is not in the catalog; a restart finds out');
        // W4 never without W3: what is not in the catalog is not told as done.
        const { code, message, hint } = toFault(thrown);
        live.record = { ...live.record, status: unrecorded, fault: { code, message, hint } };
      });
    live.told = undefined;
    live.phase = live.record.status;
    log.info({ job: id, kind, status, fault: fault?.code, why: fault?.message }, 'A job has ended');
  }

  /** A run that never began, or began with what an earlier daemon had made, may have left it. Gives what is still there. */
  async #removeTemporary({ record: { id, temporary_path } }: Live): Promise<string | null> {
    if (temporary_path === null) return null;
    return (this.#parts.removeTemporary?.(temporary_path) ?? Promise.resolve()).then(
      () => null,
      (thrown: unknown) => {
        this.#parts.log.error({ job: id, err: thrown }, 'Cannot remove what a job had made for itself');
        return temporary_path;
      },
    );
  }

  /** A rebuild empties the index and replaces records: nothing else may read the one or write the other meanwhile. */
  #refuseDuringRebuild(kind: JobKind): void {
    if (kind === 'unmount') return;
    for (const { record } of this.#live.values()) {
      if (record.kind !== 'rebuild' || record.finished_at !== null) continue;
      throw new Fault('REPOSITORY_LOCKED', 'Cannot begin a job: the catalog is being made anew', {
        hint: 'Wait for it to end, and run the command again: basaltctl job list',
      });
    }
  }

  #forgetOldest(changes: Changes): void {
    const tooMany = this.#parts.catalog.count('jobs') - jobsRememberedMax;
    if (tooMany <= 0) return;
    const isOver = ({ status, temporary_path }: JobRecord) =>
      jobStatus.hasEnded(status) && temporary_path === null;
    const ended = [...this.#parts.catalog.all('jobs')].filter(isOver);
    ended.sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
    for (const { id } of ended.slice(0, tooMany + 64)) changes.remove('jobs', id);
  }

  #beat(): void {
    this.lastProgressAtMs = this.#parts.clock.now();
  }

  #now(): string {
    return new Date(this.#parts.clock.now()).toISOString();
  }
}
