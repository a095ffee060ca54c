/** The volumes inside an image that may hold a file system: the image itself or its partitions, and the logical volumes of LVM on them.
 *  Promises: every volume lies within the image; what could not be read is thrown. Knows nothing of backups: bytes come from a
 *  function. */

import type { WindowSegment } from '../../../native/native.ts';
import { findLogicalVolumes } from '../lvm/logical.ts';
import type { Partition, ReadBytes } from '../tables/range.ts';
import { contentOf } from './contents.ts';

export interface InnerVolume {
  /** Its folder below `files`: empty for the whole image, "2" for a partition, "lvm/GROUP/VOLUME". */
  readonly name: string;
  readonly sizeBytes: number;
  /** Where its bytes are in the image. */
  readonly segments: readonly WindowSegment[];
  /** blkid's word for what it holds; null where nothing is known there. */
  readonly content: string | null;
}

export interface InnerVolumes {
  readonly volumes: readonly InnerVolume[];
  /** What is to be known of LVM: a sentence each. */
  readonly lvmNotes: readonly string[];
}

export const lvmName = 'lvm';
export const isLogical = ({ name }: InnerVolume): boolean => name.startsWith(`${lvmName}/`);

export const oneSegment = (offset: number, length: number): readonly WindowSegment[] => [
  { offset: 0, length, stripeBytes: 0, places: [offset] },
];

export async function innerVolumes(
  read: ReadBytes,
  sizeBytes: number,
  partitions: readonly Partition[],
): Promise<InnerVolumes> {
  const parts =
    partitions.length === 0
      ? [{ name: '', offset: 0, sizeBytes }]
      : partitions.map(({ number, ...range }) => ({ name: String(number), ...range }));
  const volumes: InnerVolume[] = [];
  const add = async (name: string, bytes: number, segments: readonly WindowSegment[]) => {
    const content = bytes === 0 ? null : await contentOf(readWindow(read, segments), bytes);
    volumes.push({ name, sizeBytes: bytes, segments, content });
    return content;
  };
  const physical: { readonly offset: number; readonly sizeBytes: number }[] = [];
  for (const part of parts) {
    const content = await add(part.name, part.sizeBytes, oneSegment(part.offset, part.sizeBytes));
    if (content === 'LVM2_member') physical.push(part);
  }
  const logical = await findLogicalVolumes(read, physical);
  for (const { name, sizeBytes: bytes, segments } of logical.volumes)
    await add(`${lvmName}/${name}`, bytes, segments);
  return { volumes, lvmNotes: logical.notes };
}

/** Small pieces of a window; what is missing counts as zeros: nothing is known there. */
function readWindow(read: ReadBytes, segments: readonly WindowSegment[]): ReadBytes {
  return async (offset, length) => {
    const pieces: Buffer[] = [];
    for (let at = offset; at < offset + length; ) {
      const found = placeOf(segments, at);
      if (found === undefined) {
        pieces.push(Buffer.alloc(offset + length - at));
        break;
      }
      const count = Math.min(found.length, offset + length - at);
      pieces.push(await read(found.place, count));
      at += count;
    }
    return Buffer.concat(pieces);
  };
}

function placeOf(
  segments: readonly WindowSegment[],
  at: number,
): { readonly place: number; readonly length: number } | undefined {
  const segment = segments.find(({ offset, length }) => offset <= at && at < offset + length);
  if (segment === undefined) return undefined;
  const { offset, length, stripeBytes, places } = segment;
  const within = at - offset;
  const [only] = places;
  if (places.length === 1)
    return only === undefined || only < 0 ? undefined : { place: only + within, length: length - within };
  const stripe = Math.floor(within / stripeBytes);
  const place = places[stripe % places.length] ?? -1;
  const skip = within % stripeBytes;
  if (place < 0) return undefined;
  return {
    place: place + Math.floor(stripe / places.length) * stripeBytes + skip,
    length: stripeBytes - skip,
  };
}
