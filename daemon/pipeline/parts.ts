/** What every bounded copy is handed: memory, a way to report, a way to be stopped. */

import { availableParallelism } from 'node:os';
import { Fault } from '../base/faults.ts';
import { segmentBytes } from '../base/limits.ts';
import type { Grant } from '../memory/budget.ts';
import type { Progress } from '../repository/repository.ts';
import type { Rate } from './rate.ts';

export interface CopyParts {
  readonly grant: Grant;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** The rates that the copy keeps to: its own and that of all copies together. */
  readonly rates: readonly Rate[];
  /** Copies under way now, this one too. */
  readonly copies: () => number;
}

/** Two buffers of a segment each. */
export interface Slot {
  readonly input: Uint8Array;
  readonly output: Uint8Array;
}

const slotBytes = 2 * segmentBytes;

/** The smallest grant a copy can work in: a segment at a time, and a third buffer for a differential restore. */
export const copyBytesMin = 2 * slotBytes;
/** More segments than this under way make nothing faster, and wait for each other instead: two a processor, and one more
 *  for what waits for the device. */
const slotsMax = 2 * availableParallelism() + 1;

/** Segments that each of so many copies may have under way: their share of what makes all of them faster, and never less than
 *  two, so that one is read while the other is written. What is beyond would only wait, and take memory and caches meanwhile. */
export const slotsFor = (copies: number): number => Math.max(2, Math.ceil(slotsMax / Math.max(1, copies)));

/** What a copy can make use of beside so many. */
export const copyBytesFor = (copies: number): number => Math.max(copyBytesMin, slotsFor(copies) * slotBytes);

export function slotsOf(grant: Grant): Slot[] {
  const slots: Slot[] = [];
  for (let left = grant.bytes; left >= slotBytes; left -= slotBytes) {
    slots.push({ input: grant.slice(segmentBytes), output: grant.slice(segmentBytes) });
  }
  return slots;
}

export function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted)
    throw signal.reason instanceof Fault ? signal.reason : new Fault('CANCELLED', 'Cancelled by request');
}
