/** Looks after a snapshot of LVM while it is read.
 *  Promises: a thick one that fills gets more room as long as its group has some; whoever reads is told once when it is lost, or, in a
 *  thin pool, given up so that the other volumes of the pool can go on. Looks that fail change nothing. */

import { Fault } from '../../base/faults.ts';
import { change } from '../connect/lvm/commands.ts';
import { wordOf } from '../connect/lvm/names.ts';
import { findVolume, type LogicalVolume } from '../connect/lvm/report.ts';
import type { Tools } from '../connect/tools.ts';
import { givenUpFrom, growFromPercent, growthOf, type LvmLimits } from './lvm-room.ts';
import { poolStatus, type RoomStatus, thickStatus } from './lvm-status.ts';

export interface WatchParts {
  readonly tools: Tools;
  readonly lvm: LvmLimits;
}

export interface Watched {
  readonly snapshot: LogicalVolume;
  /** Of a thin one. */
  readonly pool: LogicalVolume | undefined;
}

/** A disk writes some gigabytes in this time at most. */
const lookEveryMs = 1000;

export const lostFault = ({ group, volume, origin }: LogicalVolume, why: string): Fault =>
  new Fault(
    'SNAPSHOT_LOST',
    `Cannot go on reading snapshot "${group}/${volume}" of "${group}/${origin}": ${why}`,
  );

/** Why it can't be read to the end; undefined where it can, as far as is known. */
export async function troubleOf(parts: WatchParts, watched: Watched): Promise<string | undefined> {
  const status = await look(parts, watched).catch((): RoomStatus => ({ room: 'unknown' }));
  return whyLost(parts, watched, status);
}

/** Until the answer is called. */
export function watchSnapshot(parts: WatchParts, watched: Watched, lost: (fault: Fault) => void): () => void {
  let over = false;
  let timer: NodeJS.Timeout | undefined;
  const next = async (): Promise<void> => {
    const status = await look(parts, watched);
    const why = whyLost(parts, watched, status);
    if (over) return;
    if (why !== undefined) {
      over = true;
      lost(lostFault(watched.snapshot, why));
    } else if (watched.pool === undefined && status.room === 'fits' && status.percent >= growFromPercent) {
      await grow(parts, watched.snapshot);
    }
  };
  const again = (): void => {
    if (over) return;
    timer = setTimeout(
      () =>
        void next()
          .catch(() => undefined)
          .then(again),
      lookEveryMs,
    );
    timer.unref();
  };
  again();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}

const look = ({ tools }: WatchParts, { snapshot, pool }: Watched): Promise<RoomStatus> =>
  pool === undefined ? thickStatus(tools, snapshot) : poolStatus(tools, pool);

function whyLost({ lvm }: WatchParts, { pool }: Watched, status: RoomStatus): string | undefined {
  if (status.room === 'lost') return status.why;
  if (status.room === 'unknown' || pool === undefined) return undefined;
  const limit = givenUpFrom(lvm);
  if (status.percent < limit) return undefined;
  return `thin pool "${pool.group}/${pool.volume}" is used up to ${Math.floor(status.percent)} %, and its volumes need the rest`;
}

async function grow({ tools }: WatchParts, snapshot: LogicalVolume): Promise<void> {
  const now = await findVolume(tools, snapshot);
  const extents = now === undefined ? 0 : growthOf(now);
  if (extents > 0) await change(tools, 'lvextend', ['--extents', `+${extents}`, wordOf(snapshot)]);
}
