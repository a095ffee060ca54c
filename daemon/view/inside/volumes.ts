/** The volumes inside an image that may hold a file system: the image itself, or its partitions.
 *  Promises: every volume lies within the image; what could not be read is thrown. Knows nothing of backups: bytes come from a
 *  function. */

import type { WindowSegment } from '../../../native/native.ts';
import type { Partition, ReadBytes } from '../tables/range.ts';
import { contentOf } from './contents.ts';

export interface InnerVolume {
  /** Its folder below `files`: empty for the whole image, "2" for a partition. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Where its bytes are in the image. */
  readonly segments: readonly WindowSegment[];
  /** blkid's word for what it holds; null where nothing is known there. */
  readonly content: string | null;
}

export const oneSegment = (offset: number, length: number): readonly WindowSegment[] => [
  { offset: 0, length, stripeBytes: 0, places: [offset] },
];

export async function innerVolumes(
  read: ReadBytes,
  sizeBytes: number,
  partitions: readonly Partition[],
): Promise<readonly InnerVolume[]> {
  const parts =
    partitions.length === 0
      ? [{ name: '', offset: 0, sizeBytes }]
      : partitions.map(({ number, ...range }) => ({ name: String(number), ...range }));
  const volumes: InnerVolume[] = [];
  for (const { name, offset, sizeBytes: bytes } of parts) {
    const content = bytes === 0 ? null : await contentOf((at, length) => read(offset + at, length), bytes);
    volumes.push({ name, sizeBytes: bytes, segments: oneSegment(offset, bytes), content });
  }
  return volumes;
}
