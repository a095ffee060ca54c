/** The statuses of a job and which may follow which. Pure. */

import type { JobStatus } from '../catalog/records.ts';

const next = {
  queued: ['running', 'failed', 'cancelled'],
  running: ['done', 'failed', 'cancelled'],
  done: [],
  failed: [],
  cancelled: [],
} as const satisfies Record<JobStatus, readonly JobStatus[]>;

export const jobMayBecome = (from: JobStatus, to: JobStatus): boolean =>
  (next[from] as readonly JobStatus[]).includes(to);

/** True where nothing can follow. */
export const jobHasEnded = (status: JobStatus): boolean => next[status].length === 0;
