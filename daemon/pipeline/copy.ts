/** Copies a backup from one repository to another, of whatever kinds.
 *    image ─extents▶ segments ─(window)▶ read ▷ verify ▷ seal ─▶ manifest
 *  Promises: every byte is verified on its way, and damage ends the copy before there is a manifest; holds at most its grant;
 *  what a repository can't keep as an incremental backup is copied in full. Knows nothing of jobs or the catalog. */

import { roundUp } from '../base/bytes.ts';
import { Fault } from '../base/faults.ts';
import { segmentBytes } from '../base/limits.ts';
import { Turns } from '../base/turns.ts';
import type { BackupManifest } from '../format/manifest.ts';
import type { BackupImage, ManifestFields, Repository } from '../repository/repository.ts';
import { orInFull } from './backup.ts';
import { type CopyParts, type Slot, slotsFor, slotsOf, throwIfCancelled } from './parts.ts';
import { takeAll } from './rate.ts';
import { Window } from './window.ts';

export interface CopyBackupParts extends CopyParts {
  readonly image: BackupImage;
  readonly target: Repository;
  readonly fields: ManifestFields;
}

export function copyBackup(parts: CopyBackupParts): Promise<BackupManifest> {
  const slots = slotsOf(parts.grant);
  return orInFull(
    () => parts.fields,
    (fields) => copy(parts, fields(), slots),
  );
}

async function copy(
  { image, target, progress, signal, rates, copies }: CopyBackupParts,
  fields: ManifestFields,
  slots: readonly Slot[],
): Promise<BackupManifest> {
  const writer = await target.openWriter(image.sizeBytes, fields);
  const window = new Window(slots, () => slotsFor(copies()));
  const order = new Turns();
  let bytesDone = 0;
  const report = (bytes: number) => {
    bytesDone += bytes;
    progress({ bytesDone, bytesTotal: image.sizeBytes, phase: 'copying' });
  };
  try {
    for await (const { offset, length } of segmentsOf(image, report)) {
      await takeAll(rates, length, signal);
      throwIfCancelled(signal);
      const turn = order.take();
      await window.begin(async ({ input, output }) => {
        let sealing: Promise<void>;
        try {
          await readWhole(image, offset, length, input, output);
          // Reads end in any order; what is sealed begins in the order of the image.
          await turn.ready;
          sealing = writer.seal({ fd: -1, directFd: -1 }, offset, length, input, output);
        } finally {
          turn.done();
        }
        await sealing;
        report(length);
      });
    }
    await window.drain();
    throwIfCancelled(signal);
    progress({ bytesDone: image.sizeBytes, bytesTotal: image.sizeBytes, phase: 'storing' });
    return await writer.finish(fields);
  } catch (thrown) {
    await window.settle();
    await writer.abort();
    throw thrown;
  }
}

/** Segments that hold data, in order; zeros are skipped and reported at once. CHUNK_CORRUPT where the map has damage. */
async function* segmentsOf(
  image: BackupImage,
  skipped: (bytes: number) => void,
): AsyncIterable<{ offset: number; length: number }> {
  let next = 0;
  for await (const extent of image.extents()) {
    if (extent.damage !== undefined) throw damaged(image, extent.offset, extent.damage);
    if (!extent.data) continue;
    const end = extent.offset + extent.length;
    const first = Math.max(next, Math.floor(extent.offset / segmentBytes) * segmentBytes);
    if (first > next) skipped(first - next);
    next = first;
    while (next < end) {
      const length = Math.min(segmentBytes, image.sizeBytes - next);
      yield { offset: next, length };
      next += length;
    }
  }
  if (next < image.sizeBytes) skipped(image.sizeBytes - next);
}

/** Fills `input`; `scratch` is as long. */
async function readWhole(
  image: BackupImage,
  offset: number,
  length: number,
  input: Uint8Array,
  scratch: Uint8Array,
): Promise<void> {
  const whole = roundUp(length, image.blockBytes);
  const [range] = await image.read(offset, input.subarray(0, whole), scratch.subarray(0, whole));
  if (range !== undefined) throw damaged(image, range.offset, range.reason);
}

const damaged = (image: BackupImage, offset: number, why: string): Fault =>
  new Fault('CHUNK_CORRUPT', `Cannot copy backup "${image.backupId}": byte ${offset} is damaged: ${why}`);
