/** A job that has not ended: its record, how far it is, who watches. Knows nothing of the catalog, nor of what the job does. */

import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { Checkpoint, JobRecord } from '../catalog/records.ts';
import { type JobStatus, jobStatus } from '../catalog/statuses.ts';
import { Rate } from '../pipeline/rate.ts';
import { withEvent } from './history.ts';
import { type JobReport, RateMeter } from './report.ts';

export class Live {
  record: JobRecord;
  readonly controller = new AbortController();
  readonly rate: Rate;
  readonly listeners = new Set<(report: JobReport) => void>();
  readonly #meter = new RateMeter();
  readonly #clock: Clock;
  phase: string;
  bytesDone: number;
  bytesTotal: number;
  waitingFor: string | null = null;
  checkpoint: Checkpoint | undefined;
  /** What the job did can't be undone any more: it is not given up. */
  committed = false;
  /** The job has ended for everybody, whatever still hangs in a device. */
  left = false;
  /** What is to be told of the job where it does not end by itself. */
  account: (() => Readonly<Record<string, unknown>>) | undefined;
  finished: Promise<void> = Promise.resolve();
  /** The record as it is told while its end is on its way to the disk. */
  told: JobRecord | undefined;
  onRunning: () => void = () => undefined;

  constructor(record: JobRecord, clock: Clock, bytesPerSecond: number, checkpoint: Checkpoint | undefined) {
    this.record = record;
    this.#clock = clock;
    this.rate = new Rate(bytesPerSecond);
    this.phase = checkpoint === undefined ? 'queued' : 'resuming';
    this.bytesDone = record.bytes_done;
    this.bytesTotal = record.bytes_total;
    this.checkpoint = checkpoint;
  }

  get now(): string {
    return new Date(this.#clock.now()).toISOString();
  }

  move(status: JobStatus, more: Partial<Omit<JobRecord, 'status'>> = {}): void {
    if (this.record.status === 'queued' && status === 'running')
      this.record = withEvent(this.record, this.now, 'started');
    this.record = jobStatus.move(this.record, status, more);
    if (status === 'running') this.onRunning();
  }

  note(event: JobRecord['history'][number]['event'], detail: string): void {
    this.record = withEvent(this.record, this.now, event, detail);
  }

  advance(done: { bytesDone: number; bytesTotal: number; phase: string }): void {
    if (this.left) return;
    if (this.record.status === 'queued') this.move('running');
    this.#meter.add(this.#clock.now(), done.bytesDone);
    Object.assign(this, done);
    this.tell();
  }

  wait(what: string | null): void {
    if (this.left) return;
    this.waitingFor = what;
    if (what === null && this.record.status === 'queued') this.move('running');
    this.phase = what === null ? 'starting' : 'queued';
    this.tell();
  }

  doing(phase: string): void {
    if (this.left) return;
    if (this.record.status === 'queued') this.move('running');
    this.phase = phase;
    this.waitingFor = null;
    this.tell();
  }

  commit(): void {
    this.controller.signal.throwIfAborted();
    assert(!this.left, 'a job that has ended commits nothing');
    this.committed = true;
  }

  tell(): void {
    if (this.listeners.size === 0) return;
    const report = this.report();
    for (const listener of this.listeners) listener(report);
  }

  report(): JobReport {
    const { phase, bytesDone, bytesTotal, waitingFor, rate } = this;
    const record = this.told ?? this.record;
    const bytesPerSecond = this.#meter.bytesPerSecond(this.#clock.now());
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
}
