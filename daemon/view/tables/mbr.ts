/** Partition tables of the master boot record, with logical partitions. Sources: Linux, block/partitions/msdos.c; sfdisk(8).
 *  Promises: the chain of logical partitions is followed for `extendedRecordsMax` records at most, within the extended
 *  partition, and never twice through the same record; the boot sector of a file system is not taken for a table.
 *  The extended partition itself is a container and not told. Sectors are of 512 bytes unless the chain of logical
 *  partitions is there only with 4096: the table itself does not say. */

import { extendedRecordsMax } from '../../base/limits.ts';
import { isPresent, type Partition, partitionOf, type ReadBytes, type SectorRange } from './range.ts';

export const mbrBytes = 512;
const entriesAt = 446;
const entryBytes = 16;
const protectiveType = 0xee;
const extendedTypes: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85]);
const bootSectorNames: ReadonlySet<string> = new Set(['NTFS    ', 'EXFAT   ']);
const firstLogical = 5;

interface Entry {
  readonly status: number;
  readonly type: number;
  readonly start: number;
  readonly count: number;
}

export const hasSignature = (sector: Buffer): boolean => sector.readUInt16LE(510) === 0xaa55;

/** Says that the disk has a GUID partition table, whatever else is in it. */
export const isProtective = (sector: Buffer): boolean =>
  entriesOf(sector).some(({ type, start }) => type === protectiveType && start === 1);

export async function readMbr(sector: Buffer, read: ReadBytes, sizeBytes: number): Promise<Partition[]> {
  const entries = entriesOf(sector);
  const isBootSector =
    bootSectorNames.has(sector.toString('latin1', 3, 11)) ||
    entries.some(({ status }) => status !== 0 && status !== 0x80);
  if (isBootSector) return [];
  const extended = entries.find(isExtended);
  const sectorBytes = extended === undefined ? 512 : await sectorBytesOf(extended, read, sizeBytes);
  const ranges: SectorRange[] = [];
  for (const [at, entry] of entries.entries())
    if (isData(entry)) ranges.push({ number: at + 1, start: entry.start, count: entry.count });
  if (extended !== undefined) ranges.push(...(await logicalOf(extended, read, sectorBytes, sizeBytes)));
  return ranges.map((range) => partitionOf(range, sectorBytes, sizeBytes)).filter(isPresent);
}

async function logicalOf(
  extended: Entry,
  read: ReadBytes,
  sectorBytes: number,
  sizeBytes: number,
): Promise<SectorRange[]> {
  const ranges: SectorRange[] = [];
  const seen = new Set<number>();
  let relative = 0;
  while (seen.size < extendedRecordsMax && relative < extended.count && !seen.has(relative)) {
    seen.add(relative);
    const base = extended.start + relative;
    const record = await recordAt(base * sectorBytes, read, sizeBytes);
    if (record === undefined) break;
    // The other two entries are not used.
    const entries = entriesOf(record).slice(0, 2);
    for (const { start, count } of entries.filter(isData))
      ranges.push({ number: firstLogical + ranges.length, start: base + start, count });
    const next = entries.find(isExtended);
    if (next === undefined) break;
    relative = next.start;
  }
  return ranges;
}

async function sectorBytesOf(extended: Entry, read: ReadBytes, sizeBytes: number): Promise<number> {
  for (const sectorBytes of [512, 4096])
    if ((await recordAt(extended.start * sectorBytes, read, sizeBytes)) !== undefined) return sectorBytes;
  return 512;
}

async function recordAt(offset: number, read: ReadBytes, sizeBytes: number): Promise<Buffer | undefined> {
  if (offset + mbrBytes > sizeBytes) return undefined;
  const record = await read(offset, mbrBytes);
  return hasSignature(record) ? record : undefined;
}

const isExtended = ({ type, count }: Entry): boolean => extendedTypes.has(type) && count > 0;
const isData = ({ type, count }: Entry): boolean => type !== 0 && count > 0 && !extendedTypes.has(type);

function entriesOf(sector: Buffer): Entry[] {
  return Array.from({ length: 4 }, (_, number) => {
    const at = entriesAt + number * entryBytes;
    return {
      status: sector.readUInt8(at),
      type: sector.readUInt8(at + 4),
      start: sector.readUInt32LE(at + 8),
      count: sector.readUInt32LE(at + 12),
    };
  });
}
