/** GUID partition tables. Source: UEFI specification 2.10, chapter 5.
 *  Promises: a table counts only with both of its checksums; the first copy is preferred to the one at the end of the
 *  image, sectors of 512 bytes to those of 4096. A copy that could not be read is a failure if there is no other. */

import { crc32 } from 'node:zlib';
import { gptEntriesBytesMax } from '../../base/limits.ts';
import { isPresent, type Partition, partitionOf, type ReadBytes } from './range.ts';

const headerBytes = 92;
const sectorSizes = [512, 4096];
const unusedType = Buffer.alloc(16);

interface Header {
  readonly entriesLba: number;
  readonly entryCount: number;
  readonly entryBytes: number;
  readonly entriesCrc: number;
}

/** Undefined where there is no valid copy. */
export async function readGpt(read: ReadBytes, sizeBytes: number): Promise<Partition[] | undefined> {
  const first = sectorSizes.map((sectorBytes) => ({ sectorBytes, lba: 1 }));
  const last = sectorSizes.map((sectorBytes) => ({
    sectorBytes,
    lba: Math.floor(sizeBytes / sectorBytes) - 1,
  }));
  let failure: { thrown: unknown } | undefined;
  for (const { sectorBytes, lba } of [...first, ...last]) {
    if (lba < 1 || (lba + 1) * sectorBytes > sizeBytes) continue;
    try {
      const header = headerOf(await read(lba * sectorBytes, sectorBytes), lba);
      const partitions = header && (await entriesOf(header, read, sectorBytes, sizeBytes));
      if (partitions !== undefined) return partitions;
    } catch (thrown) {
      failure ??= { thrown };
    }
  }
  if (failure !== undefined) throw failure.thrown;
  return undefined;
}

function headerOf(sector: Buffer, lba: number): Header | undefined {
  if (sector.toString('latin1', 0, 8) !== 'EFI PART') return undefined;
  const length = sector.readUInt32LE(12);
  if (length < headerBytes || length > sector.length) return undefined;
  const summed = Buffer.from(sector.subarray(0, length));
  summed.writeUInt32LE(0, 16);
  if (crc32(summed) !== sector.readUInt32LE(16) || sector.readBigUInt64LE(24) !== BigInt(lba))
    return undefined;
  return {
    entriesLba: Number(sector.readBigUInt64LE(72)),
    entryCount: sector.readUInt32LE(80),
    entryBytes: sector.readUInt32LE(84),
    entriesCrc: sector.readUInt32LE(88),
  };
}

async function entriesOf(
  header: Header,
  read: ReadBytes,
  sectorBytes: number,
  sizeBytes: number,
): Promise<Partition[] | undefined> {
  const { entryCount, entryBytes } = header;
  const offset = header.entriesLba * sectorBytes;
  const length = entryCount * entryBytes;
  if (entryBytes < unusedType.length + 32 || length > gptEntriesBytesMax || offset + length > sizeBytes)
    return undefined;
  const entries = await read(offset, length);
  if (crc32(entries) !== header.entriesCrc) return undefined;
  return Array.from({ length: entryCount }, (_, at) => {
    const entry = entries.subarray(at * entryBytes, (at + 1) * entryBytes);
    if (entry.subarray(0, unusedType.length).equals(unusedType)) return undefined;
    const start = Number(entry.readBigUInt64LE(32));
    const count = Number(entry.readBigUInt64LE(40)) - start + 1;
    return partitionOf({ number: at + 1, start, count }, sectorBytes, sizeBytes);
  }).filter(isPresent);
}
