/** Asks the snapshot that is read what has changed since the one that the parent was made from, where both can be compared.
 *  Promises: where they can't, the reason is in the log, in the evidence and in the result, and everything is read. A backup whose
 *  parent names no snapshot has no hints, and nothing is told of them. A snapshot that is lost meanwhile ends the backup. */

import type { BackupRecord } from '../catalog/records.ts';
import type { ReadableSnapshot } from '../devices/snapshots/maker.ts';
import type { Hints } from '../pipeline/kept.ts';
import type { Repository } from '../repository/repository.ts';
import { whileWatched } from './backup-source.ts';
import { type HintsTold, noUse, parentFor, spoolFor } from './hints.ts';
import type { JobContext } from './job-order.ts';
import type { Services } from './services.ts';

export interface SnapshotHints {
  readonly hints: Hints | undefined;
  drop(): Promise<void>;
}

export interface SnapshotHintsOrder {
  readonly backup: Pick<BackupRecord, 'parent_id'>;
  readonly snapshot: ReadableSnapshot | undefined;
  readonly repository: Pick<Repository, 'manifest'>;
  readonly told: HintsTold;
}

const none: SnapshotHints = { hints: undefined, drop: () => Promise.resolve() };

export async function snapshotHints(
  { stateDirectory }: Pick<Services, 'stateDirectory'>,
  context: Pick<JobContext, 'doing' | 'log' | 'signal'>,
  { backup, snapshot, repository, told }: SnapshotHintsOrder,
): Promise<SnapshotHints> {
  const comparable = snapshot?.comparable;
  if (comparable === undefined || backup.parent_id === null) return none;
  const parent = await parentFor(repository, backup.parent_id);
  const earlier = typeof parent === 'string' ? undefined : parent.evidence?.made_from;
  if (typeof parent === 'string' || earlier === undefined) return none;
  context.doing('comparing snapshots');
  const spool = spoolFor(stateDirectory);
  // That takes its time, and the pool may fill meanwhile.
  const changed = await whileWatched(snapshot, context.signal, (signal) =>
    comparable.changesSince(earlier, { spool, signal }),
  );
  context.doing('starting');
  if (typeof changed === 'string') {
    context.log(`No hints on what has changed: ${changed}; everything is read`);
    told.unused(noUse(changed));
    return none;
  }
  const onOutcome: Hints['onOutcome'] = (outcome) => {
    const { hints, keptBytes, comparedBlocks } = outcome;
    context.log(
      `Hints of the snapshot: ${hints}; ${keptBytes} bytes not read, ${comparedBlocks} blocks compared`,
    );
    told.tell(outcome);
  };
  return { hints: { parent, changed, onOutcome }, drop: () => changed.close() };
}
