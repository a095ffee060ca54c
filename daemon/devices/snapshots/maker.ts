/** One way of making snapshots, whatever the source stands on: files that share bytes, logical volumes.
 *
 *    placeFor ─(journaled)▶ prepare ─▶ take ─▶ finish ─▶ open … watch … release ─▶ remove
 *
 *  Promises, which every maker keeps:
 *   - the place is known before anything is made, nobody else uses such places, and it alone finds the snapshot after a crash;
 *   - `remove` leaves nothing behind, may be called again, and touches only what the maker has made;
 *   - where no snapshot can be made nothing is left, and the answer is a clause that says why.
 *  Types only. Knows nothing of backups and hooks. */

import type { Fault } from '../../base/faults.ts';
import type { ChangedExtents } from '../changed-extents.ts';
import type { Source } from '../device.ts';

export type SnapshotKind = 'reflink' | 'lvm';

/** What a snapshot is, for ever and nowhere else: kept with the backup that was made from it, so that a later one can be compared
 *  with it. Ids are those of LVM. */
export interface SnapshotMark {
  readonly kind: string;
  readonly group: string;
  readonly pool: string;
  readonly origin: string;
  readonly snapshot: string;
  readonly thin_id: number;
  readonly transaction: number;
}

export interface SnapshotMaker {
  readonly kind: SnapshotKind;
  /** Where a snapshot of the source would be: what is journaled. Undefined: the source is nothing that this maker knows. */
  placeFor(source: Source, id: string): Promise<string | undefined>;
  /** Whether a text is a place that only this maker gives. */
  isPlace(text: string): boolean;
  /** The place as the URL of a source, and back. */
  urlOf(place: string): string;
  placeIn(url: string): string;
  /** Finds out all that can be known before anybody is told to hold still. */
  prepare(source: Source, place: string): Promise<PreparedSnapshot | string>;
  /** Makes the snapshot readable, also after a restart of the host; or says why it can't be read. */
  open(place: string): Promise<ReadableSnapshot | string>;
  /** One that is gone is fine. */
  remove(place: string): Promise<void>;
  /** Why a snapshot that nobody reads should not stay; undefined: it is no burden. Absent: none ever is. */
  burden?(place: string): Promise<string | undefined>;
  /** Puts right what a daemon that was killed has left beside its snapshots. Gives a sentence for each thing that it did. */
  recover?(): Promise<string[]>;
}

export interface PreparedSnapshot {
  /** Makes it of this moment. `again`: what may have been made before does not count. Throws `SnapshotRefused` where that can't be. */
  take(again: boolean): Promise<void>;
  /** Makes it durable, and gives its size. */
  finish(): Promise<number>;
  /** After the end, however it came. Removes nothing. */
  close(): Promise<void>;
}

export interface ReadableSnapshot {
  /** What opens it as a source. */
  readonly url: string;
  /** Looks after it until the answer is called; `lost` is told once, when it can't be read to the end any more. */
  watch(lost: (fault: Fault) => void): () => void;
  /** Why reads of it fail; undefined where it is as it should be. */
  trouble(): Promise<Fault | undefined>;
  /** It is not read any more, and stays. */
  release(): Promise<void>;
  /** Absent where it can't be compared with others. */
  readonly comparable?: ComparableSnapshot | undefined;
}

export interface ComparableSnapshot {
  readonly mark: SnapshotMark;
  /** What differs between the earlier one, which the mark names, and this one; or the clause that says why nobody can say. `spool`: a
   *  free name for a file, which is there until the answer is closed. */
  changesSince(
    earlier: SnapshotMark,
    order: { readonly spool: string; readonly signal: AbortSignal },
  ): Promise<ChangedExtents | string>;
}

/** It turned out only in the making that there can be no snapshot; the message is the clause that says why. */
export class SnapshotRefused extends Error {
  override readonly name = 'SnapshotRefused';
}
