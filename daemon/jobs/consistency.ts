/** What is said of how a source stood when it was read: the evidence, and a sentence of it for people. Pure. */

import type { Evidence } from '../format/manifest.ts';

/** Longest sentence that goes into a record. */
const sentenceLengthMax = 1000;

/** Whether the application was held still when the snapshot was made. */
const wasHeld = ({ hooks }: Evidence): boolean =>
  hooks.some(({ hook, exit_status }) => hook === 'freeze' && exit_status === 0);

/** `from`: what was read, for a sentence; absent: the source itself. */
export function consistencyOf(evidence: Evidence, from?: string): string {
  const used = evidence.used_by.join('; ');
  const sentence = (): string => {
    if (from !== undefined && wasHeld(evidence))
      return `application-consistent: read from ${from}, made while the application was frozen`;
    if (used === '') return 'clean';
    if (from !== undefined) return `crash-consistent: read from ${from}, made while it was in use: ${used}`;
    const { no_snapshot: why } = evidence;
    return `crash-consistent: read while it was in use: ${used}${why === undefined ? '' : `; no snapshot: ${why}`}`;
  };
  return sentence().slice(0, sentenceLengthMax);
}
