/** Changed extents that a caller hands over with an incremental backup: checked, kept in a file while the job waits, and told
 *  of in its result. Promises: the extents start from the very parent of the backup; a job that waits holds no memory for them;
 *  the file goes with the job, or with the next start of the daemon. Knows nothing of how they are used. */

import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault, type FaultCode } from '../base/faults.ts';
import type { BackupRecord } from '../catalog/records.ts';
import { checkExtents, type ExtentPair, spoolExtents, spooledExtents } from '../devices/changed-extents.ts';
import type { HintOutcome, Hints, HintUse } from '../pipeline/kept.ts';
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
  open(repository: Repository): Promise<Hints | undefined>;
  /** What came of them, as part of the result of the job. */
  result(): Readonly<Record<string, unknown>>;
  drop(): Promise<void>;
}

const folderOf = (stateDirectory: string): string => join(stateDirectory, 'hints');

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
  const path = join(folderOf(services.stateDirectory), randomUUID());
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

function hintsIn(path: string, parentId: string): KeptHints {
  const changed = spooledExtents(path);
  let outcome: HintOutcome | undefined;
  return {
    open: async (repository) => {
      const unused = (hints: HintUse) => {
        outcome = { hints, keptBytes: 0, comparedBlocks: 0 };
        return undefined;
      };
      try {
        const manifest = await repository.manifest(parentId);
        const { map } = manifest;
        if (map === undefined) return unused('not possible in this repository, read everything');
        // What its source did not give may be there again, and nobody calls it changed.
        if (manifest.evidence?.unreadable !== undefined) return unused('parent incomplete, read everything');
        const onOutcome = (known: HintOutcome) => {
          outcome = known;
        };
        return { parent: { ...manifest, map }, changed, onOutcome };
      } catch (thrown) {
        if (!(thrown instanceof Fault) || !manifestCodes.has(thrown.code)) throw thrown;
        return unused('parent unreadable, read everything');
      }
    },
    requireParent: (id) => requireSame(parentId, id),
    result: () =>
      outcome === undefined
        ? {}
        : {
            hints: outcome.hints,
            kept_bytes: outcome.keptBytes,
            compared_blocks: outcome.comparedBlocks,
          },
    drop: () => changed.close(),
  };
}
