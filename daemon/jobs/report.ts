/** What a job tells of itself: a plain value, from which the client's tables, the events and the status line are made. Pure. */

import type { JobRecord } from '../catalog/records.ts';

export interface JobReport {
  readonly record: JobRecord;
  readonly phase: string;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly bytesPerSecond: number;
  /** null where nobody knows. */
  readonly secondsLeft: number | null;
  /** What a queued job waits for, a phrase that begins with "memory" or "operations"; null where it does not wait. */
  readonly waitingFor: string | null;
  /** The job's own rate; 0: none. */
  readonly limitBytesPerSecond: number;
}

/** A report of a job that only the catalog remembers. */
export const endedReport = (record: JobRecord): JobReport => ({
  record,
  phase: record.status,
  bytesDone: record.bytes_done,
  bytesTotal: record.bytes_total,
  bytesPerSecond: 0,
  secondsLeft: null,
  waitingFor: null,
  limitBytesPerSecond: 0,
});

/** Measures a rate over the last few seconds, so that it follows what happens now; where bytes come more rarely, over the time from
 *  one arrival to the next. Promises: it is 0 soon after nothing comes any more. */
export class RateMeter {
  /** The first is the newest that is as old as the span, where there is one. */
  readonly #samples: { atMs: number; bytes: number }[] = [];
  readonly #spanMs = 5000;

  add(atMs: number, bytes: number): void {
    const last = this.#samples.at(-1);
    // A sample every tenth of a second is enough, however often progress is reported.
    if (last !== undefined && atMs - last.atMs < 100) last.bytes = bytes;
    else this.#samples.push({ atMs, bytes });
    while ((this.#samples[1]?.atMs ?? atMs) <= atMs - this.#spanMs) this.#samples.shift();
  }

  bytesPerSecond(nowMs: number): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || nowMs <= first.atMs) return 0;
    // Half as long again as the last few took: what comes so late does not come.
    const silentMs = nowMs - last.atMs;
    if (silentMs > 1.5 * Math.max(this.#spanMs, last.atMs - first.atMs)) return 0;
    return Math.round(((last.bytes - first.bytes) * 1000) / (nowMs - first.atMs));
  }
}
