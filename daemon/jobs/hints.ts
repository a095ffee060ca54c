/** Changed extents that go with an incremental backup: handed over by a caller, checked, and kept in a file while the job waits; or
 *  asked of a snapshot. What came of them is in the evidence and in the result of the job.
 *  Promises: the extents start from the very parent of the backup; a job that waits holds no memory for them; the file goes with the
 *  job, or with the next start of the daemon. Knows nothing of how they are used. */

import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault, type FaultCode } from '../base/faults.ts';
import type { BackupRecord } from '../catalog/records.ts';
import { checkExtents, type ExtentPair, spoolExtents, spooledExtents } from '../devices/changed-extents.ts';
import type { BackupManifest, Evidence } from '../format/manifest.ts';
import type { HintOutcome, Hints, NoUse } from '../pipeline/kept.ts';
import type { Repository } from '../repository/repository.ts';
import { findBackupToRead } from './find.ts';
import type { Services } from './services.ts';

export interface ChangesOrder {
  readonly extents: readonly ExtentPair[];
  /** The backup that they start from; undefined: the parent. */
  readonly since: string | undefined;
}

export interface KeptHints {
  /** INVALID_ARGUMENT where the parent has become another one. */
  requireParent(id: string | null): void;
  /** Undefined where the parent can't be read any more: then everything is. */
  open(repository: Repository, told: HintsTold): Promise<Hints | undefined>;
  drop(): Promise<void>;
}

const folderOf = (stateDirectory: string): string => join(stateDirectory, 'hints');
/** A free name for a file of hints. */
export const spoolFor = (stateDirectory: string): string => join(folderOf(stateDirectory), randomUUID());

/** What jobs of a daemon that was killed have left. */
export const dropStaleHints = (stateDirectory: string): Promise<void> =>
  rm(folderOf(stateDirectory), { recursive: true, force: true });

export async function keepHints(
  services: Pick<Services, 'catalog' | 'stateDirectory'>,
  order: { readonly changes: ChangesOrder | undefined; readonly project: string },
  parent: BackupRecord | undefined,
  sizeBytes: number,
): Promise<KeptHints | undefined> {
  const { changes, project } = order;
  if (changes === undefined) return undefined;
  if (parent === undefined) {
    throw new Fault('INVALID_ARGUMENT', 'Cannot use "changed_extents" with a full backup', {
      hint: 'Add --incremental: the extents say what changed since its parent',
    });
  }
  if (changes.since !== undefined)
    requireSame(findBackupToRead(services.catalog, changes.since, project).id, parent.id);
  checkExtents(changes.extents, sizeBytes);
  const path = spoolFor(services.stateDirectory);
  await spoolExtents(path, changes.extents);
  return hintsIn(path, parent.id);
}

function requireSame(since: string, parentId: string | null): void {
  if (since === parentId) return;
  throw new Fault(
    'INVALID_ARGUMENT',
    `Cannot use changes since backup "${since}": the parent is backup "${parentId}", the newest of the volume`,
    { hint: 'Hand over what changed since the parent, or leave out the changed extents' },
  );
}

/** What is wrong with one manifest, and not with the repository. */
const manifestCodes: ReadonlySet<FaultCode> = new Set(['MANIFEST_MISSING', 'MANIFEST_CORRUPT']);

/** Why a backup can't stand, as a parent, for what is not read; undefined where it can. */
export function whyNoParent({ map, evidence }: Pick<BackupManifest, 'map' | 'evidence'>): NoUse | undefined {
  if (map === undefined) return 'not possible in this repository, read everything';
  // What its source did not give may be there again, and nobody calls it changed.
  return evidence?.unreadable === undefined ? undefined : 'parent incomplete, read everything';
}

/** The parent, where it can stand for what was not read; or why it can't. */
export async function parentFor(
  repository: Pick<Repository, 'manifest'>,
  parentId: string,
): Promise<Hints['parent'] | NoUse> {
  try {
    const manifest = await repository.manifest(parentId);
    const { map } = manifest;
    const why = whyNoParent(manifest);
    if (map === undefined || why !== undefined) return why ?? 'parent unreadable, read everything';
    return { ...manifest, map };
  } catch (thrown) {
    if (!(thrown instanceof Fault) || !manifestCodes.has(thrown.code)) throw thrown;
    return 'parent unreadable, read everything';
  }
}

/** The words of a program may be part of a reason; a manifest takes a text of so many with what follows it. */
const reasonLengthMax = 500;
export const noUse = (why: string): NoUse => `${why.slice(0, reasonLengthMax)}, read everything`;

/** What came of the hints of one backup. */
export class HintsTold {
  #outcome: HintOutcome | undefined;

  readonly tell = (outcome: HintOutcome): void => {
    this.#outcome = outcome;
  };

  readonly unused = (hints: NoUse): undefined => {
    this.#outcome = { hints, keptBytes: 0, comparedBlocks: 0 };
    return undefined;
  };

  /** As part of the evidence. */
  get evidence(): Pick<Evidence, 'hints'> {
    if (this.#outcome === undefined) return {};
    const { hints: use, keptBytes: kept_bytes, comparedBlocks: compared_blocks } = this.#outcome;
    return { hints: { use, kept_bytes, compared_blocks } };
  }
}

/** The same as part of the result of a job. */
export function hintResult({
  evidence,
}: Pick<BackupManifest, 'evidence'>): Readonly<Record<string, unknown>> {
  if (evidence?.hints === undefined) return {};
  const { use, kept_bytes, compared_blocks } = evidence.hints;
  return { hints: use, kept_bytes, compared_blocks };
}

function hintsIn(path: string, parentId: string): KeptHints {
  const changed = spooledExtents(path);
  return {
    open: async (repository, told) => {
      const parent = await parentFor(repository, parentId);
      if (typeof parent === 'string') return told.unused(parent);
      return { parent, changed, onOutcome: told.tell };
    },
    requireParent: (id) => requireSame(parentId, id),
    drop: () => changed.close(),
  };
}
