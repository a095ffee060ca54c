/** Which parts of a volume are read and which are kept as the parent has them, when somebody says what changed.
 *  Promises: the runs cover the volume in order, without gaps; a block of which any byte may have changed is read; so is what
 *  the parent did not have. Pure: knows nothing of sources or repositories. */

import { roundDown, roundUp } from '../base/bytes.ts';
import type { ChangedRange } from '../devices/changed-extents.ts';

export interface Run {
  readonly offset: number;
  readonly length: number;
  readonly keep: boolean;
}

/** Up to here blocks of the parent mean the same bytes: where the sizes differ, the block at the shorter end does not. */
export const keepableBytes = (sizeBytes: number, parentBytes: number, blockBytes: number): number =>
  sizeBytes === parentBytes ? sizeBytes : roundDown(Math.min(sizeBytes, parentBytes), blockBytes);

export async function* runsOf(
  changed: AsyncIterable<ChangedRange>,
  sizes: { readonly sizeBytes: number; readonly parentBytes: number; readonly blockBytes: number },
): AsyncIterable<Run> {
  const { sizeBytes, parentBytes, blockBytes } = sizes;
  const keepEnd = keepableBytes(sizeBytes, parentBytes, blockBytes);
  // Between the two: to be read, and not given yet, as a neighbour may join it. What lies before them has been given.
  let [begin, end] = [0, 0];
  for await (const range of withTail(changed, keepEnd, sizeBytes)) {
    const from = Math.max(end, roundDown(range.offset, blockBytes));
    const to = Math.min(roundUp(range.offset + range.length, blockBytes), sizeBytes);
    if (to <= from) continue;
    if (from > end) {
      if (end > begin) yield { offset: begin, length: end - begin, keep: false };
      yield { offset: end, length: from - end, keep: true };
      begin = from;
    }
    end = to;
  }
  if (end > begin) yield { offset: begin, length: end - begin, keep: false };
  if (end < sizeBytes) yield { offset: end, length: sizeBytes - end, keep: true };
}

/** What the parent lacks counts as changed. */
async function* withTail(
  changed: AsyncIterable<ChangedRange>,
  keepEnd: number,
  sizeBytes: number,
): AsyncIterable<ChangedRange> {
  for await (const range of changed) {
    if (range.offset >= keepEnd) break;
    yield range;
  }
  if (keepEnd < sizeBytes) yield { offset: keepEnd, length: sizeBytes - keepEnd };
}
