/** Partitions, and the ranges of sectors that tables tell of. Pure. */

export interface Partition {
  /** As the kernel counts: from 1; of an MBR the logical ones from 5. */
  readonly number: number;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** Exactly the bytes at `offset`, or a failure. */
export type ReadBytes = (offset: number, length: number) => Promise<Buffer>;

export interface SectorRange {
  readonly number: number;
  readonly start: number;
  readonly count: number;
}

/** The part of the range that is within the image; undefined where nothing is. Numbers beyond 2^53 may be rounded: they
 *  are beyond every image. */
export function partitionOf(
  { number, start, count }: SectorRange,
  sectorBytes: number,
  sizeBytes: number,
): Partition | undefined {
  const offset = start * sectorBytes;
  const end = Math.min(sizeBytes, offset + count * sectorBytes);
  return offset < end ? { number, offset, sizeBytes: end - offset } : undefined;
}

export const isPresent = (partition: Partition | undefined): partition is Partition =>
  partition !== undefined;
