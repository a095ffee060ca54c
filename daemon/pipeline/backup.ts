/** Copies a source into a repository.
 *    source ─extents▶ segments ─(window)▶ read ▷ zero? ▷ hash ▷ known? ▷ compress ▷ store ─▶ manifest
 *  Promises: holds at most its grant; holes are not read; a cancelled or failed copy leaves only unreferenced blocks.
 *  Knows nothing of jobs, the catalog or the control socket. */

import type { Native } from '../../native/native.ts';
import { Fault } from '../base/faults.ts';
import { segmentBytes } from '../base/limits.ts';
import type { Source } from '../devices/device.ts';
import { sourceReadFault } from '../devices/faults.ts';
import type { BackupManifest } from '../format/manifest.ts';
import type { WriterState } from '../format/writer-state.ts';
import {
  type BackupWriter,
  FullBackupNeeded,
  type ManifestFields,
  type Repository,
} from '../repository/repository.ts';
import { Checkpoints, isInterrupted } from './checkpoints.ts';
import { type Descriptors, withDirect } from './direct.ts';
import { type CopyParts, type Slot, slotsFor, slotsOf, throwIfCancelled } from './parts.ts';
import { takeAll } from './rate.ts';
import { Window } from './window.ts';

export interface BackupParts extends CopyParts {
  readonly source: Source;
  readonly repository: Repository;
  readonly native: Pick<Native, 'openDirect'>;
  /** Called before anything is read, and again when all has been, just before the manifest is written. */
  readonly fields: () => ManifestFields;
  readonly checkpoints?: BackupCheckpoints | undefined;
  /** Called just before the manifest is written; what it throws ends the backup. */
  readonly commit?: () => void;
}

export interface BackupCheckpoints {
  readonly everyMs: number;
  /** Where an earlier try got to; the source holds what it held then. */
  readonly from: { readonly position: number; readonly state: WriterState } | undefined;
  /** Told where the copy begins. */
  readonly begun: (position: number) => void;
  /** All before `position` is durable. */
  readonly save: (position: number, state: WriterState) => Promise<void>;
}

export function backUp(parts: BackupParts): Promise<BackupManifest> {
  return withDirect(parts.native, parts.source.fd, false, (descriptors) => {
    const slots = slotsOf(parts.grant);
    return orInFull(parts.fields, (fields) => copy({ ...parts, fields }, descriptors, slots));
  });
}

/** Makes a backup; once more, without a parent, where the repository can't keep it as an incremental one. */
export async function orInFull(
  fields: () => ManifestFields,
  make: (fields: () => ManifestFields) => Promise<BackupManifest>,
): Promise<BackupManifest> {
  try {
    return await make(fields);
  } catch (thrown) {
    if (!(thrown instanceof FullBackupNeeded)) throw thrown;
  }
  return make(() => {
    const incremental = fields();
    return { ...incremental, backup: { ...incremental.backup, parent_id: null } };
  });
}

async function copy(
  parts: BackupParts,
  descriptors: Descriptors,
  slots: readonly Slot[],
): Promise<BackupManifest> {
  const { source, progress, signal } = parts;
  const { writer, begin } = await openWriter(parts);
  const window = new Window(slots, () => slotsFor(parts.copies()));
  try {
    let bytesDone = begin;
    const checkpoints = new Checkpoints(parts.checkpoints?.everyMs ?? Infinity, begin);
    const save = async (position: number) => {
      await window.drain();
      await saveCheckpoint(parts, writer, position);
      checkpoints.made(position);
    };
    const report = (bytes: number) => {
      bytesDone += bytes;
      progress({ bytesDone, bytesTotal: source.sizeBytes, phase: 'reading' });
    };
    for await (const segment of segments(source, report, begin)) {
      await takeAll(parts.rates, segment.length, signal);
      if (checkpoints.due(segment.offset) || isInterrupted(signal)) await save(segment.offset);
      throwIfCancelled(signal);
      await window.begin(async ({ input, output }) => {
        await writer
          .seal(descriptors, segment.offset, segment.length, input, output)
          .catch((thrown: unknown) => {
            throw thrown instanceof FullBackupNeeded ? thrown : readFault(source.url, thrown);
          });
        report(segment.length);
      });
    }
    await window.drain();
    throwIfCancelled(signal);
    await source.checkUnchanged();
    progress({ bytesDone: source.sizeBytes, bytesTotal: source.sizeBytes, phase: 'storing' });
    return await writer.finish(parts.fields(), parts.commit);
  } catch (thrown) {
    await window.settle();
    await writer.abort();
    throw thrown;
  }
}

/** The repository knows descriptors only: the name of the source comes in here. */
function readFault(url: string, thrown: unknown): Fault {
  if (!(thrown instanceof Fault)) return sourceReadFault(url, thrown);
  if (thrown.code !== 'SOURCE_CHANGED') return thrown;
  return new Fault('SOURCE_CHANGED', `Cannot read "${url}" to its end: it became shorter`, { cause: thrown });
}

/** The writer, and where to go on. */
async function openWriter({ checkpoints, repository, source, signal, fields }: BackupParts) {
  const from = checkpoints?.from;
  const resumed = from === undefined ? undefined : await repository.resumeWriter?.(from.state, signal);
  const begin = resumed === undefined ? 0 : (from?.position ?? 0);
  checkpoints?.begun(begin);
  return { writer: resumed ?? (await repository.openWriter(source.sizeBytes, fields())), begin };
}

/** While nothing is under way. */
async function saveCheckpoint({ checkpoints }: BackupParts, writer: BackupWriter, position: number) {
  const state = await writer.checkpoint?.();
  if (state !== undefined) await checkpoints?.save(position, state);
}

/** Aligned segments from `begin` on that hold data; what lies in holes only is skipped and reported at once. */
async function* segments(
  source: Source,
  skipped: (bytes: number) => void,
  begin: number,
): AsyncIterable<{ offset: number; length: number }> {
  let next = begin;
  for await (const extent of source.extents()) {
    if (!extent.data) continue;
    const end = extent.offset + extent.length;
    const first = Math.max(next, Math.floor(extent.offset / segmentBytes) * segmentBytes);
    if (first > next) skipped(first - next);
    next = Math.max(next, first);
    while (next < end) {
      const length = Math.min(segmentBytes, source.sizeBytes - next);
      yield { offset: next, length };
      next += length;
    }
  }
  if (next < source.sizeBytes) skipped(source.sizeBytes - next);
}
