/** Physical volumes of LVM2: the label, and the text that describes the group. Source: LVM2, lib/format_text/layout.h and label.h.
 *  Promises: a label and a text count only with their checksums; the bytes read are bounded, whatever the image says; where one copy of the text is
 *  damaged the other one counts. Knows nothing of what the text says. */

import { crc32 } from 'node:zlib';
import { lvmTextBytesMax } from '../../base/limits.ts';
import type { ReadBytes } from '../tables/range.ts';

const sectorBytes = 512;
const labelSectors = 4;
const areasMax = 8;
const headBytes = 512;
const magic = ' LVM2 x[5A%r0N*>';
const ignored = 1;

export interface PhysicalVolume {
  /** As in the label: without dashes. */
  readonly id: string;
  /** The newest text that this volume holds of its group; undefined where it holds none. */
  readonly text: string | undefined;
}

interface Area {
  readonly offset: number;
  readonly sizeBytes: number;
}

/** LVM starts its CRC with a number of its own, and does not turn it round. */
function checksum(bytes: Uint8Array): number {
  return ~crc32(bytes, ~0xf597a6cf >>> 0) >>> 0;
}

/** Undefined where there is no label. */
export async function readPhysicalVolume(
  read: ReadBytes,
  sizeBytes: number,
): Promise<PhysicalVolume | undefined> {
  if (sizeBytes < labelSectors * sectorBytes) return undefined;
  const head = await read(0, labelSectors * sectorBytes);
  for (let sector = 0; sector < labelSectors; sector++) {
    const label = head.subarray(sector * sectorBytes, (sector + 1) * sectorBytes);
    const at = label.readUInt32LE(20);
    const isLabel =
      label.toString('latin1', 0, 8) === 'LABELONE' &&
      label.readBigUInt64LE(8) === BigInt(sector) &&
      label.readUInt32LE(16) === checksum(label.subarray(20)) &&
      label.toString('latin1', 24, 32) === 'LVM2 001' &&
      at >= 32 &&
      at + 40 <= sectorBytes;
    if (!isLabel) continue;
    return {
      id: label.toString('latin1', at, at + 32),
      text: await readText(read, areasOf(label.subarray(at + 40)), sizeBytes),
    };
  }
  return undefined;
}

/** Behind the list of areas of data comes that of areas of text; each ends with a pair of zeros. */
function areasOf(lists: Buffer): Area[] {
  const areas: Area[] = [];
  let ended = 0;
  for (let at = 0; at + 16 <= lists.length && ended < 2 && areas.length < areasMax; at += 16) {
    const area = {
      offset: Number(lists.readBigUInt64LE(at)),
      sizeBytes: Number(lists.readBigUInt64LE(at + 8)),
    };
    if (area.offset === 0) ended += 1;
    else if (ended === 1) areas.push(area);
  }
  return areas;
}

async function readText(
  read: ReadBytes,
  areas: readonly Area[],
  sizeBytes: number,
): Promise<string | undefined> {
  let newest: { readonly text: string; readonly number: number } | undefined;
  let failure: { readonly thrown: unknown } | undefined;
  for (const area of areas) {
    try {
      const text = await textIn(read, area, sizeBytes);
      const number = Number(/^\s*seqno = (\d{1,15})$/m.exec(text ?? '')?.[1] ?? 0);
      if (text !== undefined && number >= (newest?.number ?? 0)) newest = { text, number };
    } catch (thrown) {
      failure ??= { thrown };
    }
  }
  if (newest === undefined && failure !== undefined) throw failure.thrown;
  return newest?.text;
}

/** The text goes round in its area, behind the head. */
async function textIn(
  read: ReadBytes,
  { offset, sizeBytes: areaBytes }: Area,
  sizeBytes: number,
): Promise<string | undefined> {
  if (areaBytes <= headBytes || offset + areaBytes > sizeBytes) return undefined;
  const head = await read(offset, headBytes);
  const isHead =
    head.readUInt32LE(0) === checksum(head.subarray(4)) &&
    head.toString('latin1', 4, 20) === magic &&
    head.readUInt32LE(20) === 1 &&
    head.readBigUInt64LE(24) === BigInt(offset);
  if (!isHead) return undefined;
  const at = Number(head.readBigUInt64LE(40));
  const length = Number(head.readBigUInt64LE(48));
  const isThere =
    at >= headBytes &&
    at < areaBytes &&
    length > 0 &&
    length <= Math.min(areaBytes - headBytes, lvmTextBytesMax) &&
    (head.readUInt32LE(60) & ignored) === 0;
  if (!isThere) return undefined;
  const first = Math.min(length, areaBytes - at);
  const pieces = [await read(offset + at, first)];
  if (first < length) pieces.push(await read(offset + headBytes, length - first));
  const bytes = Buffer.concat(pieces);
  return checksum(bytes) === head.readUInt32LE(56) ? bytes.toString('utf8') : undefined;
}
