/** What changed between two snapshots of one thin volume, as the metadata of their pool shows it: blocks that both share are the same.
 *
 *    earlier still there? ─▶ metadata held still ─▶ thin_delta ─▶ spool file ─▶ both still there? ─▶ ranges
 *
 *  Promises: only the very snapshot that the mark names is compared, by its uuid, its pool, its origin and its id in the pool; where
 *  anything does not fit, the answer is a clause that says what; the metadata is held only while it is compared.
 *  Source: thin_delta(8), lvmthin(7). */

import { MiB } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';
import { type ChangedExtents, spooledUnless, spoolRanges } from '../changed-extents.ts';
import { withMetadataSnapshot } from '../connect/lvm/metadata-snapshot.ts';
import { isVolumeId } from '../connect/lvm/names.ts';
import { poolLayout } from '../connect/lvm/pool.ts';
import { findVolume, findVolumeById, type LogicalVolume } from '../connect/lvm/report.ts';
import { changedRanges } from '../connect/lvm/thin-delta.ts';
import type { ToolLines } from '../connect/tool-lines.ts';
import type { Tools } from '../connect/tools.ts';
import { type LvmLimits, poolFlaw } from './lvm-room.ts';
import type { SnapshotMark } from './maker.ts';

export interface ChangesParts {
  readonly tools: Tools;
  readonly lines: ToolLines;
  readonly lvm: LvmLimits;
  /** Where it is noted which pools hold their metadata for us. */
  readonly notesFolder: string;
}

export interface ChangesOrder {
  /** Where the answer is kept until it is closed. */
  readonly spool: string;
  readonly signal: AbortSignal;
}

const markKind = 'lvm-thin';
/** The metadata of a pool has 16 GiB at most. */
const deltaTimeoutMs = 900_000;
/** It holds a list of all that is mapped: of some millions of pieces in this. */
const deltaMemoryBytes = 256 * MiB;

/** Undefined where it is no thin snapshot. */
export function markOf(snapshot: LogicalVolume): SnapshotMark | undefined {
  const { groupId: group, poolId: pool, originId: origin, volumeId, thinId, transaction } = snapshot;
  if (snapshot.kind !== 'thin' || pool === null || origin === null) return undefined;
  if (thinId === null || transaction === null || !snapshot.readOnly) return undefined;
  return { kind: markKind, group, pool, origin, snapshot: volumeId, thin_id: thinId, transaction };
}

const sameMark = (one: SnapshotMark, other: SnapshotMark | undefined): boolean =>
  other !== undefined &&
  one.kind === other.kind &&
  one.group === other.group &&
  one.pool === other.pool &&
  one.origin === other.origin &&
  one.snapshot === other.snapshot &&
  one.thin_id === other.thin_id &&
  one.transaction === other.transaction;

/** Or why nobody can say what changed. */
export async function changesBetween(
  parts: ChangesParts,
  earlier: SnapshotMark,
  later: LogicalVolume,
  order: ChangesOrder,
): Promise<ChangedExtents | string> {
  const mark = markOf(later);
  if (mark === undefined || earlier.kind !== markKind)
    return 'there is no other thin snapshot to compare with';
  const flaw = (await misfit(parts, earlier, mark, later.group)) ?? (await lackOf(parts, later));
  if (flaw !== undefined) return flaw;
  const pool = { groupId: mark.group, volumeId: mark.pool };
  const layout = await poolLayout(parts.tools, pool);
  if (layout === undefined) return 'the metadata of its thin pool can not be found';
  const compare = () => {
    const ids = ['--snap1', String(earlier.thin_id), '--snap2', String(mark.thin_id)];
    const lines = parts.lines('thin_delta', ['--metadata-snap', ...ids, layout.metadata], {
      timeoutMs: deltaTimeoutMs,
      memoryBytes: deltaMemoryBytes,
      signal: order.signal,
    });
    const ranges = changedRanges(lines, {
      left: earlier.thin_id,
      right: mark.thin_id,
      blockBytes: layout.blockBytes,
      transactionMin: mark.transaction + 1,
      sizeBytes: later.sizeBytes,
    });
    return spoolRanges(order.spool, ranges);
  };
  return spooledUnless(order.spool, async () => {
    const why = await withMetadataSnapshot(parts, pool, compare, order.signal);
    // Ids are given anew once their volumes are gone: what was compared were these two only if both are there still.
    return typeof why === 'string' ? why : misfit(parts, earlier, mark, later.group);
  });
}

/** Why the two can't be compared; undefined where they can. */
async function misfit(
  { tools }: ChangesParts,
  earlier: SnapshotMark,
  later: SnapshotMark,
  group: string,
): Promise<string | undefined> {
  if (earlier.group !== later.group || earlier.pool !== later.pool)
    return 'the snapshot of the parent is in another thin pool';
  if (earlier.origin !== later.origin) return 'the snapshot of the parent is of another volume';
  if (earlier.snapshot === later.snapshot) return 'the parent was made from the same snapshot';
  if (!isVolumeId(earlier.snapshot)) return 'the parent does not say which snapshot it was made from';
  for (const mark of [earlier, later]) {
    const found = await findVolumeById(tools, group, mark.snapshot);
    if (found === undefined) return 'the snapshot of the parent is not there any more';
    if (!sameMark(mark, markOf(found))) return 'the snapshot of the parent is not what it was';
  }
  if (earlier.thin_id === later.thin_id || earlier.transaction >= later.transaction)
    return 'the snapshot of the parent is not the earlier one';
  return undefined;
}

/** What the comparison needs; undefined where it is there. */
async function lackOf(
  { tools, lvm }: ChangesParts,
  { group, pool }: LogicalVolume,
): Promise<string | undefined> {
  if ((await tools.find('thin_delta')) === undefined)
    return 'program "thin_delta" is not on this host (package thin-provisioning-tools)';
  const found = pool === null ? undefined : await findVolume(tools, { group, volume: pool });
  if (found === undefined) return 'its thin pool can not be found';
  // While it is held still, each change of the metadata takes room of its own.
  return poolFlaw(found, lvm);
}

/** A clause in place of what went wrong; who was called off is not answered. */
export async function orWhy<T>(work: () => Promise<T | string>, signal?: AbortSignal): Promise<T | string> {
  try {
    return await work();
  } catch (thrown) {
    signal?.throwIfAborted();
    if (thrown instanceof Fault) return thrown.message;
    throw thrown;
  }
}
