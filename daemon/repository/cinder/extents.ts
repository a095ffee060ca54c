/** An image of a Cinder backup from its start to its end: what must be read, and what is known to be zeros without reading.
 *  Promises: a range counts as zeros only where no layer has it and the hash list, where there is one, says so too; the list is read
 *  in large pieces, so that empty terabytes cost little. */

import { createHash } from 'node:crypto';
import { segmentBytes } from '../../base/limits.ts';
import type { ImageExtent } from '../repository.ts';
import type { ChainMap } from './chain-map.ts';
import { type HashList, hashBytes } from './hash-list.ts';

/** Hashes of a hole that are looked at in one go. */
const hashesAtOnce = 4096;

export interface ExtentParts {
  readonly map: ChainMap;
  readonly list: HashList | undefined;
  readonly sizeBytes: number;
}

export async function* walkExtents({ map, list, sizeBytes }: ExtentParts): AsyncIterable<ImageExtent> {
  const isWide = list === undefined || list.chunkBytes > segmentBytes;
  const step = isWide ? segmentBytes : Math.floor(segmentBytes / list.chunkBytes) * list.chunkBytes;
  const leap = isWide ? step : step * Math.ceil((hashesAtOnce * list.chunkBytes) / step);
  let hole = 0;
  for (let at = 0; at < sizeBytes; ) {
    const [first] = await map.entries(at, sizeBytes);
    // Whole steps up to where the next object begins.
    const empty = first === undefined ? sizeBytes : at + Math.floor((first.offset - at) / step) * step;
    let proved = at;
    while (proved < empty) {
      const end = list === undefined ? empty : Math.min(empty, proved + leap);
      const zeros = await provedZeros(list, proved, end, sizeBytes);
      proved = Math.min(end, at + Math.floor((zeros - at) / step) * step);
      if (zeros >= end) proved = end;
      else break;
    }
    if (proved > at) {
      at = proved;
      continue;
    }
    const end = Math.min(at + step, sizeBytes);
    if (hole < at) yield { offset: hole, length: at - hole, data: false };
    yield { offset: at, length: end - at, data: true };
    at = end;
    hole = end;
  }
  if (hole < sizeBytes) yield { offset: hole, length: sizeBytes - hole, data: false };
}

/** Up to where the range is zeros by the list. */
async function provedZeros(
  list: HashList | undefined,
  offset: number,
  end: number,
  sizeBytes: number,
): Promise<number> {
  if (list === undefined) return end;
  const { chunkBytes } = list;
  if (offset % chunkBytes !== 0) return offset;
  const count = Math.ceil((end - offset) / chunkBytes);
  const hashes = Buffer.alloc(count * hashBytes);
  try {
    await list.read(offset / chunkBytes, hashes);
  } catch {
    // Reading the range says what is wrong.
    return offset;
  }
  const wanted = Buffer.alloc(hashes.length, hashOfZeros(chunkBytes));
  const last = offset + (count - 1) * chunkBytes;
  // The last block of a volume is hashed at its real length.
  if (end === sizeBytes) hashOfZeros(end - last).copy(wanted, (count - 1) * hashBytes);
  if (hashes.equals(wanted)) return end;
  for (let number = 0; number < count; number += 1) {
    const at = number * hashBytes;
    if (hashes.compare(wanted, at, at + hashBytes, at, at + hashBytes) !== 0)
      return offset + number * chunkBytes;
  }
  return end;
}

const zeroHashes = new Map<number, Buffer>();

/** SHA-256 of that many zeros. Few lengths ever occur at a time. */
function hashOfZeros(length: number): Buffer {
  let known = zeroHashes.get(length);
  if (known !== undefined) return known;
  known = createHash('sha256').update(Buffer.alloc(length)).digest();
  if (zeroHashes.size > 16) zeroHashes.clear();
  zeroHashes.set(length, known);
  return known;
}
