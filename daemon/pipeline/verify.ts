/** Reads and checks every byte of a backup. Promises: goes on after damage and names every damaged range (as many as a report may
 *  list; all are counted). Holds at most its grant. Knows nothing of jobs or the catalog. */

import { roundUp } from '../base/bytes.ts';
import { damageRangesMax } from '../base/limits.ts';
import type { BackupImage, DamagedRange, ImageExtent } from '../repository/repository.ts';
import { type CopyParts, type Slot, slotsFor, slotsOf, throwIfCancelled } from './parts.ts';
import { takeAll } from './rate.ts';
import { Window } from './window.ts';

export interface VerifyParts extends CopyParts {
  readonly image: BackupImage;
}

export interface VerifyReport {
  readonly verifiedBytes: number;
  readonly damagedBytes: number;
  /** In order; neighbours with the same reason are one. */
  readonly damaged: readonly DamagedRange[];
}

export async function verify(parts: VerifyParts): Promise<VerifyReport> {
  const { image, progress, signal } = parts;
  const found: DamagedRange[] = [];
  let [damagedBytes, bytesDone] = [0, 0];
  const add = (ranges: readonly DamagedRange[]) => {
    for (const range of ranges) {
      const length = Math.min(range.length, image.sizeBytes - range.offset);
      damagedBytes += length;
      if (found.length < damageRangesMax * 16) found.push({ ...range, length });
    }
  };
  const window = new Window(slotsOf(parts.grant), () => slotsFor(parts.copies()));
  try {
    for await (const extent of image.extents()) {
      if (extent.data) await takeAll(parts.rates, extent.length, signal);
      throwIfCancelled(signal);
      const done = () => {
        bytesDone += extent.length;
        progress({ bytesDone, bytesTotal: image.sizeBytes, phase: 'verifying' });
      };
      if (!extent.data) done();
      else await window.begin((slot) => readExtent(image, extent, slot).then(add).then(done));
    }
    await window.drain();
  } finally {
    await window.settle();
  }
  return { verifiedBytes: image.sizeBytes - damagedBytes, damagedBytes, damaged: merge(found) };
}

async function readExtent(
  image: BackupImage,
  extent: ImageExtent,
  slot: Slot,
): Promise<readonly DamagedRange[]> {
  if (extent.damage !== undefined)
    return [{ offset: extent.offset, length: extent.length, reason: extent.damage }];
  const output = slot.output.subarray(0, roundUp(extent.length, image.blockBytes));
  return image.read(extent.offset, output, slot.input.subarray(0, output.length));
}

function merge(found: DamagedRange[]): DamagedRange[] {
  const merged: DamagedRange[] = [];
  for (const range of found.sort((a, b) => a.offset - b.offset)) {
    const last = merged.at(-1);
    if (last !== undefined && last.offset + last.length === range.offset && last.reason === range.reason) {
      merged[merged.length - 1] = { ...last, length: last.length + range.length };
    } else if (merged.length < damageRangesMax) merged.push(range);
  }
  return merged;
}
