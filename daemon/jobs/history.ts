/** What happened to a job, kept with its record. Pure.
 *  Promises: at most `jobEventsMax` entries; what is dropped is from the middle, so that the beginning and the newest stay. */

import { jobEventsMax } from '../base/limits.ts';
import type { JobEvent, JobRecord } from '../catalog/records.ts';

/** How much of the beginning is kept, whatever happens later. */
const firstKept = 8;

export function withEvent(record: JobRecord, at: string, event: JobEvent['event'], detail = ''): JobRecord {
  const history = [...record.history, { at, event, detail: detail.slice(0, 300) }];
  if (history.length > jobEventsMax) history.splice(firstKept, history.length - jobEventsMax);
  return { ...record, history };
}
