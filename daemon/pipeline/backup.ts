/** Copies a source into a repository.
 *    source ─extents▶ segments ─(window)▶ read ▷ zero? ▷ hash ▷ known? ▷ compress ▷ store ─▶ manifest
 *  Promises: holds at most its grant; holes are not read, nor what hints say to be unchanged, unless they prove wrong; a
 *  cancelled or failed copy leaves only unreferenced blocks. Knows nothing of jobs, the catalog or the control socket. */

import type { Native } from '../../native/native.ts';
import { assert } from '../base/assert.ts';
import { roundDown } from '../base/bytes.ts';
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
import { type Hints, KeptRanges } from './kept.ts';
import { type CopyParts, type Slot, slotsFor, slotsOf, throwIfCancelled } from './parts.ts';
import { takeAll } from './rate.ts';
import { Unreadable } from './unreadable.ts';
import { Window } from './window.ts';

export interface BackupParts extends CopyParts {
  readonly source: Source;
  readonly repository: Repository;
  readonly native: Pick<Native, 'openDirect' | 'addresses' | 'blockDevice'>;
  /** What can't be read is taken as zeros, and the backup says so; else it fails. */
  readonly skipErrors: boolean;
  /** What changed since the parent, where somebody says so. */
  readonly hints?: Hints | undefined;
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

interface Range {
  readonly offset: number;
  readonly length: number;
}

export function backUp(parts: BackupParts): Promise<BackupManifest> {
  return withDirect(parts.native, parts.source.fd, false, (descriptors) => {
    const way = { descriptors, slots: slotsOf(parts.grant) };
    return orInFull(parts.fields, async (fields) => {
      const { hints, source } = parts;
      const kept = hints === undefined ? undefined : new KeptRanges(hints, source);
      const made = await copy({ ...parts, fields }, way, kept);
      if (made !== undefined) return made;
      // What was read so far is stored by now, and known.
      const whole = await copy({ ...parts, fields }, way, undefined);
      assert(whole !== undefined, 'a copy that keeps nothing can not keep anything wrong');
      return whole;
    });
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

/** Undefined: what was kept differs from the source. */
async function copy(
  given: BackupParts,
  { descriptors, slots }: { readonly descriptors: Descriptors; readonly slots: readonly Slot[] },
  kept: KeptRanges | undefined,
): Promise<BackupManifest | undefined> {
  // A checkpoint would outlive the comparison that says whether what was kept can be trusted.
  const parts = kept === undefined ? given : { ...given, checkpoints: undefined };
  const { source, progress, signal } = parts;
  const { writer, begin } = await openWriter(parts);
  const window = new Window(slots, () => slotsFor(parts.copies()));
  const unreadable = new Unreadable({ ...parts, descriptors });
  const sealed = { ...descriptors, recover: unreadable.recover };
  try {
    let bytesDone = begin;
    const checkpoints = new Checkpoints(parts.checkpoints?.everyMs ?? Infinity, begin);
    const save = async (position: number) => {
      await window.drain();
      // Who goes on behind what could not be read must not forget it: it is met again.
      if (!unreadable.isEmpty) return checkpoints.made(position);
      await saveCheckpoint(parts, writer, position);
      checkpoints.made(position);
    };
    const report = (bytes: number) => {
      bytesDone += bytes;
      progress({ bytesDone, bytesTotal: source.sizeBytes, phase: 'reading' });
    };
    const skipped = (bytes: number) => {
      throwIfCancelled(signal);
      report(bytes);
    };
    const ranges = kept?.plan(writer, skipped) ?? wholeOf(source, begin);
    for await (const segment of segments(source, ranges, skipped)) {
      await takeAll(parts.rates, segment.length, signal);
      if (checkpoints.due(segment.offset) || isInterrupted(signal)) await save(segment.offset);
      throwIfCancelled(signal);
      await window.begin(async ({ input, output }) => {
        await writer.seal(sealed, segment.offset, segment.length, input, output).catch((thrown: unknown) => {
          throw thrown instanceof FullBackupNeeded ? thrown : readFault(source.url, thrown);
        });
        report(segment.length);
      });
    }
    await window.drain();
    throwIfCancelled(signal);
    if (kept !== undefined && !(await kept.confirm(parts, descriptors, window))) {
      await writer.abort();
      return undefined;
    }
    // After the last read: what was read before counts only then.
    await source.checkUnchanged();
    progress({ bytesDone: source.sizeBytes, bytesTotal: source.sizeBytes, phase: 'storing' });
    return await writer.finish(unreadable.mark(parts.fields()), parts.commit);
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

async function* wholeOf({ sizeBytes }: Source, begin: number): AsyncIterable<Range> {
  if (sizeBytes > begin) yield { offset: begin, length: sizeBytes - begin };
}

/** What holds data in the ranges, cut at segments; segments that lie in holes only are skipped and reported at once. */
async function* segments(
  source: Source,
  ranges: AsyncIterable<Range>,
  skipped: (bytes: number) => void,
): AsyncIterable<Range> {
  for await (const range of ranges) {
    const end = range.offset + range.length;
    let next = range.offset;
    for await (const extent of dataIn(source, range)) {
      const first = Math.max(next, roundDown(extent.offset, segmentBytes));
      if (first > next) skipped(first - next);
      next = first;
      while (next < extent.offset + extent.length) {
        const length = Math.min(roundDown(next, segmentBytes) + segmentBytes, end) - next;
        yield { offset: next, length };
        next += length;
      }
    }
    if (next < end) skipped(end - next);
  }
}

/** Where a range holds data. To ask costs more than to read a little. */
async function* dataIn(source: Source, range: Range): AsyncIterable<Range> {
  if (range.length <= segmentBytes) yield range;
  else {
    for await (const extent of source.extents(range.offset, range.offset + range.length)) {
      if (extent.data) yield extent;
    }
  }
}
