/** Copies a backup to a target.
 *    image ─extents▶ (window) read ▷ decompress ▷ verify ▷ write; zeros: holes, discard, or written zeros
 *  Promises: nothing that was not verified is written; a range that is zeros in the backup reads as zeros on the target; what
 *  lies behind the end of the backup is left as it is. Holds at most its grant. Knows nothing of jobs or the catalog. */

import type { Native } from '../../native/native.ts';
import { roundUp } from '../base/bytes.ts';
import { Fault } from '../base/faults.ts';
import type { Target } from '../devices/device.ts';
import { targetWriteFault } from '../devices/faults.ts';
import type { BackupImage, ImageExtent } from '../repository/repository.ts';
import { Checkpoints, isInterrupted } from './checkpoints.ts';
import { withDirect } from './direct.ts';
import { type CopyParts, type Slot, slotsFor, slotsOf, throwIfCancelled } from './parts.ts';
import { takeAll } from './rate.ts';
import { Window } from './window.ts';
import type { Written } from './written.ts';
import { notHoles, zeroRange } from './zeros.ts';

export interface RestoreParts extends CopyParts {
  readonly image: BackupImage;
  readonly target: Target;
  readonly native: Pick<Native, 'write' | 'zeroRange' | 'nextExtent' | 'openDirect'>;
  /** Reads the target first and writes only what differs. */
  readonly differential: boolean;
  /** What is changed on the target is noted here. */
  readonly written?: Written | undefined;
  readonly checkpoints?: RestoreCheckpoints | undefined;
}

export interface RestoreCheckpoints {
  readonly everyMs: number;
  /** Nothing before it is looked at: it is on the target, durable, and nobody else can have written there. */
  readonly from: number;
  /** Up to here the target is compared, and only what differs is written: it was written before, and others may have, too. */
  readonly compareUntil: number;
  readonly counts: Pick<RestoreCounts, 'writtenBytes' | 'zeroedBytes' | 'unchangedBytes'>;
  /** All before `position` is durable. `last`: nothing will be written after it. */
  readonly save: (position: number, counts: RestoreCounts, last: boolean) => Promise<void>;
}

export interface RestoreCounts {
  restoredBytes: number;
  writtenBytes: number;
  zeroedBytes: number;
  unchangedBytes: number;
  /** Bytes of the target behind the end of the backup: left as they were. */
  tailBytes: number;
}

export function restore(parts: RestoreParts): Promise<RestoreCounts> {
  return withDirect(parts.native, parts.target.fd, true, ({ directFd }) => copy({ ...parts, directFd }));
}

interface DirectParts extends RestoreParts {
  readonly directFd: number;
}

async function copy(parts: DirectParts): Promise<RestoreCounts> {
  const { image, target, progress, signal } = parts;
  const counts: RestoreCounts = {
    restoredBytes: image.sizeBytes,
    writtenBytes: parts.checkpoints?.counts.writtenBytes ?? 0,
    zeroedBytes: parts.checkpoints?.counts.zeroedBytes ?? 0,
    unchangedBytes: parts.checkpoints?.counts.unchangedBytes ?? 0,
    tailBytes: target.sizeBytes - image.sizeBytes,
  };
  let bytesDone = 0;
  const report = (bytes: number) => {
    bytesDone += bytes;
    progress({ bytesDone, bytesTotal: image.sizeBytes, phase: 'writing' });
  };
  const window = new Window(copySlots(parts), () => slotsFor(parts.copies()));
  const begin = parts.checkpoints?.from ?? 0;
  const checkpoints = new Checkpoints(parts.checkpoints?.everyMs ?? Number.POSITIVE_INFINITY, begin);
  const save = async (position: number) => {
    await window.drain();
    await target.sync();
    await parts.checkpoints?.save(position, counts, isInterrupted(signal));
    checkpoints.made(position);
  };
  try {
    for await (const extent of image.extents()) {
      if (extent.offset + extent.length <= begin) {
        report(extent.length);
        continue;
      }
      if (extent.data) await takeAll(parts.rates, extent.length, signal);
      if (checkpoints.due(extent.offset) || isInterrupted(signal)) await save(extent.offset);
      throwIfCancelled(signal);
      if (extent.data)
        await window.begin((slot) =>
          copyExtent(parts, extent, slot, counts).then(() => report(extent.length)),
        );
      else await zeroExtent(parts, window, extent, counts, report);
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
function copySlots(parts: DirectParts): CopySlot[] {
  const slots = slotsOf(parts.grant);
  if (!parts.differential && (parts.checkpoints?.compareUntil ?? 0) === 0)
    return slots.map((slot) => ({ ...slot, compare: undefined }));
  const buffers = slots.flatMap(({ input, output }) => [input, output]);
  const threes: CopySlot[] = [];
  for (let at = 0; at + 2 < buffers.length; at += 3) {
    const [input, output, compare] = buffers.slice(at, at + 3);
    if (input !== undefined && output !== undefined) threes.push({ input, output, compare });
  }
  return threes;
}

async function copyExtent(
  parts: DirectParts,
  extent: ImageExtent,
  slot: CopySlot,
  counts: RestoreCounts,
): Promise<void> {
  const { image } = parts;
  if (extent.damage !== undefined) throw damaged(image, extent.offset, extent.damage);
  const output = slot.output.subarray(0, roundUp(extent.length, image.blockBytes));
  const [bad] = await image.read(extent.offset, output, slot.input.subarray(0, output.length));
  if (bad !== undefined) throw damaged(image, bad.offset, bad.reason);
  await writeSlot(parts, extent, slot, counts);
}

/** Writes what the slot's output holds. */
async function writeSlot(
  parts: DirectParts,
  piece: { readonly offset: number; readonly length: number },
  slot: CopySlot,
  counts: RestoreCounts,
): Promise<void> {
  const { native, target, image, directFd } = parts;
  const passed = await target.gate?.pass(piece.length, parts.signal);
  // What was read while the restore was given up is not written any more: it has been told what has changed.
  if (!isInterrupted(parts.signal)) throwIfCancelled(parts.signal);
  const noted = parts.written?.begin(piece.offset, piece.length);
  const compares = slot.compare !== undefined && isCompared(parts, piece.offset);
  const writing = native
    .write({
      fd: target.fd,
      directFd,
      position: piece.offset,
      data: slot.output.subarray(0, piece.length),
      blockBytes: image.blockBytes,
      zeros: target.blank ? 'skip' : 'punch',
      ...(compares ? { compare: slot.compare } : {}),
    })
    .catch((thrown: unknown) => {
      throw targetWriteFault(target.url, thrown);
    });
  const written = await writing.finally(passed);
  noted?.(written.writtenBytes + written.zeroedBytes > 0);
  counts.writtenBytes += written.writtenBytes;
  counts.zeroedBytes += written.zeroedBytes;
  counts.unchangedBytes += written.unchangedBytes;
}

const isCompared = ({ differential, checkpoints }: DirectParts, offset: number): boolean =>
  differential || offset < (checkpoints?.compareUntil ?? 0);

async function zeroExtent(
  parts: DirectParts,
  window: Window<CopySlot>,
  extent: ImageExtent,
  counts: RestoreCounts,
  report: (bytes: number) => void,
): Promise<void> {
  const end = extent.offset + extent.length;
  const zeroed = (bytes: number) => {
    counts.zeroedBytes += bytes;
    report(bytes);
  };
  if (parts.target.blank) return zeroed(extent.length);
  if (!isCompared(parts, extent.offset)) {
    const noted = parts.written?.begin(extent.offset, extent.length);
    await zeroRange(parts, extent.offset, end, zeroed);
    return noted?.(true);
  }
  const unchanged = (bytes: number) => {
    counts.unchangedBytes += bytes;
    report(bytes);
  };
  for await (const piece of notHoles(parts, extent.offset, end, unchanged)) {
    await window.begin(async (slot) => {
      slot.output.fill(0, 0, piece.length);
      await writeSlot(parts, piece, slot, counts);
      report(piece.length);
    });
  }
}

const damaged = (image: BackupImage, offset: number, reason: string): Fault =>
  new Fault(
    'CHUNK_CORRUPT',
    `Cannot restore backup "${image.backupId}": byte ${offset} and on is damaged, ${reason}`,
  );
