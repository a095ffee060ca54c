/** What is asked of the jobs, and what a job is handed while it runs. Types only. */

import type { Fault } from '../base/faults.ts';
import type { Changes } from '../catalog/catalog.ts';
import type { Checkpoint, JobEvent, JobKind, JobPlan } from '../catalog/records.ts';
import type { Rate } from '../pipeline/rate.ts';

export interface JobContext {
  readonly id: string;
  readonly project: string;
  readonly signal: AbortSignal;
  /** The job's own rate; it may change while the job runs. */
  readonly rate: Rate;
  /** True where an earlier daemon has run it, or was about to. */
  readonly resumed: boolean;
  /** Where an earlier run can be taken up; undefined: at the beginning. */
  readonly checkpoint: Checkpoint | undefined;
  readonly progress: (done: { bytesDone: number; bytesTotal: number; phase: string }) => void;
  /** Says what the job waits for; null: it goes on. */
  readonly waitFor: (what: string | null) => void;
  /** Says in a phrase what the job does before its copy begins, or in place of one. */
  readonly doing: (phase: string) => void;
  /** Durably running, before anything is done that could bring the daemon down. */
  readonly started: () => Promise<void>;
  /** Remembers, durably, how far the job can be taken up again. */
  readonly saveCheckpoint: (checkpoint: Checkpoint) => Promise<void>;
  /** Says it in the log of the daemon, with the job. */
  readonly log: (what: string) => void;
  /** Adds to the history; durable with the next checkpoint or the end. */
  readonly note: (event: JobEvent['event'], detail: string) => void;
  /** What is to be told as the result where the job fails or is cancelled. */
  readonly account: (account: () => Readonly<Record<string, unknown>>) => void;
  /** The file that an earlier run was making. */
  readonly temporaryPath: string | null;
  /** Remembers, durably, a file that a restart must remove if the job does not get to its end; null: it stays. `more` is committed with
   *  it. */
  readonly journalTemporary: (path: string | null, more?: (changes: Changes) => void) => Promise<void>;
  /** Called just before what can't be undone: throws where the job was cancelled; afterwards it can't be any more. */
  readonly commit: () => void;
}

export interface JobOrder {
  readonly kind: JobKind;
  readonly project_id: string;
  readonly backup_id: string | null;
  readonly volume_id: string | null;
  /** Rate of the job; absent or 0: no limit of its own. */
  readonly bytes_per_second?: number | undefined;
  /** Set where the job goes on by itself after the daemon ended: what `run` and `end` are made of again then. */
  readonly plan?: JobPlan;
  /** True where the job may be ended while `run` hangs in a device: it looks at `signal` and `commit` before all that counts. */
  readonly leavable?: boolean;
  /** Committed together with the job's record. */
  readonly begin?: (changes: Changes) => void;
  /** Gives the result. What it throws is the fault of the job; `details` of a Fault are kept as the result. */
  readonly run: (context: JobContext) => Promise<Readonly<Record<string, unknown>>>;
  /** Committed together with the end of the job, however it ended; not called where it only stops until the next start. */
  readonly end?: (changes: Changes, fault: Fault | undefined) => void;
}
