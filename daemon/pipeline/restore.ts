/** Copies a backup to a target.
 *    image ─extents▶ (window) read ▷ decompress ▷ verify ▷ write; zeros: holes, discard, or written zeros
 *  Promises: nothing that was not verified is written; a range that is zeros in the backup reads as zeros on the target; what
 *  lies behind the end of the backup is left as it is. Holds at most its grant. Knows nothing of jobs or the catalog. */

import type { Native } from '../../native/native.ts';
import { GiB, roundUp } from '../base/bytes.ts';
import { Fault } from '../base/faults.ts';
import type { Target } from '../devices/device.ts';
import { targetWriteFault } from '../devices/faults.ts';
import type { BackupImage, ImageExtent } from '../repository/repository.ts';
import { type CopyParts, type Slot, slotsOf, throwIfCancelled } from './parts.ts';
import { takeAll } from './rate.ts';
import { Window } from './window.ts';

export interface RestoreParts extends CopyParts {
  readonly image: BackupImage;
  readonly target: Target;
  readonly native: Pick<Native, 'write' | 'zeroRange'>;
  /** Reads the target first and writes only what differs. */
  readonly differential: boolean;
}

export interface RestoreCounts {
  restoredBytes: number;
  writtenBytes: number;
  zeroedBytes: number;
  unchangedBytes: number;
  /** Bytes of the target behind the end of the backup: left as they were. */
  tailBytes: number;
}

/** Zeroing goes in steps, so that progress and cancellation do not wait for a terabyte. */
const zeroStepBytes = GiB;

export async function restore(parts: RestoreParts): Promise<RestoreCounts> {
  const { image, target, progress, signal } = parts;
  const counts: RestoreCounts = {
    restoredBytes: image.sizeBytes,
    writtenBytes: 0,
    zeroedBytes: 0,
    unchangedBytes: 0,
    tailBytes: target.sizeBytes - image.sizeBytes,
  };
  let bytesDone = 0;
  const report = (bytes: number) => {
    bytesDone += bytes;
    progress({ bytesDone, bytesTotal: image.sizeBytes, phase: 'writing' });
  };
  const window = new Window(copySlots(parts));
  try {
    for await (const extent of image.extents()) {
      if (extent.data) await takeAll(parts.rates, extent.length, signal);
      throwIfCancelled(signal);
      if (extent.data)
        await window.begin((slot) =>
          copyExtent(parts, extent, slot, counts).then(() => report(extent.length)),
        );
      else await zeroExtent(parts, extent, counts, report);
    }
    await window.drain();
    throwIfCancelled(signal);
    progress({ bytesDone, bytesTotal: image.sizeBytes, phase: 'syncing' });
    return counts;
  } finally {
    await window.settle();
  }
}

interface CopySlot extends Slot {
  readonly compare: Uint8Array | undefined;
}

/** A differential restore takes a third buffer, for what the target holds: two slots become one and a half. */
function copySlots(parts: RestoreParts): CopySlot[] {
  const slots = slotsOf(parts.grant);
  if (!parts.differential) return slots.map((slot) => ({ ...slot, compare: undefined }));
  const buffers = slots.flatMap(({ input, output }) => [input, output]);
  const threes: CopySlot[] = [];
  for (let at = 0; at + 2 < buffers.length; at += 3) {
    const [input, output, compare] = buffers.slice(at, at + 3);
    if (input !== undefined && output !== undefined) threes.push({ input, output, compare });
  }
  return threes;
}

async function copyExtent(
  parts: RestoreParts,
  extent: ImageExtent,
  slot: CopySlot,
  counts: RestoreCounts,
): Promise<void> {
  const { image, target } = parts;
  if (extent.damage !== undefined) throw damaged(image, extent.offset, extent.damage);
  const output = slot.output.subarray(0, roundUp(extent.length, image.blockBytes));
  const [bad] = await image.read(extent.offset, output, slot.input.subarray(0, output.length));
  if (bad !== undefined) throw damaged(image, bad.offset, bad.reason);
  const written = await parts.native
    .write({
      fd: target.fd,
      position: extent.offset,
      data: output.subarray(0, extent.length),
      blockBytes: image.blockBytes,
      zeros: target.blank ? 'skip' : 'punch',
      ...(slot.compare === undefined ? {} : { compare: slot.compare }),
    })
    .catch((thrown: unknown) => {
      throw targetWriteFault(target.url, thrown);
    });
  counts.writtenBytes += written.writtenBytes;
  counts.zeroedBytes += written.zeroedBytes;
  counts.unchangedBytes += written.unchangedBytes;
}

async function zeroExtent(
  parts: RestoreParts,
  extent: ImageExtent,
  counts: RestoreCounts,
  report: (bytes: number) => void,
): Promise<void> {
  const { target, signal } = parts;
  const end = extent.offset + extent.length;
  for (let at = extent.offset; at < end && !target.blank; at += zeroStepBytes) {
    throwIfCancelled(signal);
    const length = Math.min(zeroStepBytes, end - at);
    await parts.native.zeroRange(target.fd, at, length).catch((thrown: unknown) => {
      throw targetWriteFault(target.url, thrown);
    });
    report(length);
  }
  if (target.blank) report(extent.length);
  counts.zeroedBytes += extent.length;
}

const damaged = (image: BackupImage, offset: number, reason: string): Fault =>
  new Fault(
    'CHUNK_CORRUPT',
    `Cannot restore backup "${image.backupId}": byte ${offset} and on is damaged, ${reason}`,
  );
