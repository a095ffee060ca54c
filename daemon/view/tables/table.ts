/** The partitions of an image: which table there is, and what it says.
 *
 *    first sector ▷ protective entry: GPT ▷ else signature: MBR ▷ else none
 *
 *  Promises: an image is hostile: the number of partitions and of bytes read is bounded, every range lies within the image
 *  and is not empty, ranges may overlap; what could not be read is thrown, never taken for an empty table.
 *  Knows nothing of backups: bytes come from a function. */

import { partitionsMax } from '../../base/limits.ts';
import { readGpt } from './gpt.ts';
import { isProtective, mbrBytes, readMbr, hasSignature as signed } from './mbr.ts';
import type { Partition, ReadBytes } from './range.ts';

/** In the order of their numbers. */
export async function readPartitions(read: ReadBytes, sizeBytes: number): Promise<Partition[]> {
  if (sizeBytes < mbrBytes) return [];
  const partitions = await readTable(read, sizeBytes);
  return partitions.sort((a, b) => a.number - b.number).slice(0, partitionsMax);
}

async function readTable(read: ReadBytes, sizeBytes: number): Promise<Partition[]> {
  let first: Buffer;
  try {
    first = await read(0, mbrBytes);
  } catch (thrown) {
    // The second copy of a GPT is at the other end of the image.
    const partitions = await readGpt(read, sizeBytes);
    if (partitions === undefined) throw thrown;
    return partitions;
  }
  if (!signed(first)) return [];
  if (isProtective(first)) return (await readGpt(read, sizeBytes)) ?? [];
  return readMbr(first, read, sizeBytes);
}
