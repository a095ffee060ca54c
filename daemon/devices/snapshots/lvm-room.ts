/** How much room a snapshot of LVM gets, and when there is too little of it. Pure.
 *  Source: Documentation/admin-guide/device-mapper/snapshot.rst and dm-snap-persistent.c (kernel) for what a copy takes. */

import type { LogicalVolume } from '../connect/lvm/report.ts';

export interface LvmLimits {
  /** Room of a snapshot of a thick volume, in percent of what it can need at most. */
  readonly snapshotPercent: number;
  /** Percent of a thin pool, of its data or its metadata, from which on no snapshot is made in it. */
  readonly poolPercentMax: number;
}

/** What is copied at a time, and the copies of which a chunk of their list tells. */
const chunkBytes = 4096;
const listed = chunkBytes / 16;

/** Extents with which a snapshot of a volume can't run full, whatever is written to the volume. */
export function fullExtents(sizeBytes: number, extentBytes: number): number {
  const chunks = Math.ceil(sizeBytes / chunkBytes);
  const lists = Math.ceil(chunks / listed) + 1;
  return Math.ceil(((1 + chunks + lists) * chunkBytes) / extentBytes);
}

/** A smaller one is not worth the trouble that it makes. */
const leastShare = 0.05;
/** The rest is for who has a volume to grow meanwhile. */
const freeShareMax = 0.75;

/** Extents of a new snapshot, or the clause that says why there is no room for it. */
export function roomFor(origin: LogicalVolume, { snapshotPercent }: LvmLimits): number | string {
  const { sizeBytes, extentBytes, freeExtents } = origin;
  const full = fullExtents(sizeBytes, extentBytes);
  const wanted = Math.max(1, Math.ceil((full * snapshotPercent) / 100));
  if (wanted <= freeExtents) return wanted;
  const spare = Math.floor(freeExtents * freeShareMax);
  if (spare >= Math.max(1, full * leastShare)) return spare;
  return `volume group "${origin.group}" has too little room: ${freeExtents * extentBytes} bytes`;
}

/** A snapshot with so much of its room used up gets more. */
export const growFromPercent = 50;

/** Extents to add to a snapshot that fills; 0: none. It doubles, as whoever writes may write on as fast. */
export function growthOf(snapshot: LogicalVolume): number {
  const missing = fullExtents(snapshot.sizeBytes, snapshot.extentBytes) - snapshot.extents;
  return Math.max(0, Math.min(missing, snapshot.extents, snapshot.freeExtents));
}

/** Why no snapshot is made in a pool; undefined where it has room. */
export function poolFlaw(pool: LogicalVolume, { poolPercentMax }: LvmLimits): string | undefined {
  const { dataPercent, metadataPercent, group, volume } = pool;
  const say = (what: string, percent: number) =>
    `${what} of thin pool "${group}/${volume}" is used up to ${percent} %, which is not below the limit of ${poolPercentMax} %`;
  if (dataPercent === null || metadataPercent === null)
    return `thin pool "${group}/${volume}" does not say how full it is`;
  if (dataPercent >= poolPercentMax) return say('the data', dataPercent);
  if (metadataPercent >= poolPercentMax) return say('the metadata', metadataPercent);
  return undefined;
}

/** From so much on a snapshot is given up, as a pool that is full fails the writes to all of its volumes. */
export const givenUpFrom = ({ poolPercentMax }: LvmLimits): number =>
  poolPercentMax + (100 - poolPercentMax) / 2;
