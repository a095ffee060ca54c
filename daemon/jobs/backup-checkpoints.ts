/** Where a backup can be taken up again, and whether it may be.
 *  Promises: a backup goes on only where the source provably holds what was read of it, and where nobody used it; else it is read
 *  again from the beginning, and the history of the job says why. */

import type { BackupCheckpoint } from '../catalog/records.ts';
import type { Evidence, Source } from '../devices/device.ts';
import type { BackupCheckpoints } from '../pipeline/backup.ts';
import type { Repository } from '../repository/repository.ts';
import type { JobContext } from './job-order.ts';
import type { Services } from './services.ts';

/** The coarsest clock of a file system that is met: a write within it may leave the time as it was. */
const clockSlackMs = 2_000;

export async function backupCheckpoints(
  services: Services,
  context: JobContext,
  repository: Repository,
  source: Source,
): Promise<BackupCheckpoints | undefined> {
  if (repository.resumeWriter === undefined) return undefined;
  const atBegin = source.usedBy.length > 0 ? undefined : await source.evidence();
  const earlier = context.checkpoint?.kind === 'backup' ? context.checkpoint : undefined;
  const why = whyNot(earlier, repository, source, atBegin);
  return {
    everyMs: services.checkpointEveryMs,
    from: why === undefined ? earlier : undefined,
    begun: (position) => {
      if (!context.resumed) return;
      const reason = why ?? 'what it had stored is not all in the repository any more';
      const again = `read again from byte 0: ${reason}`;
      context.note('resumed', position > 0 ? `at byte ${position}: the source has not changed` : again);
    },
    save: async (position, state) => {
      const now = atBegin === undefined ? undefined : await source.evidence();
      const evidence = isProof(services, atBegin, now) ? (now?.text ?? null) : null;
      const repository_id = repository.id;
      await context.saveCheckpoint({ kind: 'backup', position, repository_id, state, evidence });
    },
  };
}

/** Nothing was written since the beginning, and long enough ago that a later write shows. */
const isProof = (
  { clock }: Services,
  atBegin: Evidence | undefined,
  now: Evidence | undefined,
): now is Evidence =>
  now !== undefined && now.text === atBegin?.text && now.changedAtMs <= clock.now() - clockSlackMs;

/** Why the backup begins again; undefined: it can go on. */
function whyNot(
  earlier: BackupCheckpoint | undefined,
  repository: Repository,
  source: Source,
  evidence: Evidence | undefined,
): string | undefined {
  if (earlier === undefined) return 'nothing was durable yet';
  if (earlier.repository_id !== repository.id) return 'another repository is there by now';
  if (source.usedBy.length > 0) return `the source is in use: ${source.usedBy.join('; ')}`;
  if (earlier.evidence === null) return 'nothing shows that the source was left alone while it was read';
  if (evidence === undefined) return 'nothing shows whether the source has changed';
  if (evidence.text !== earlier.evidence) return 'the source has changed, or the host was restarted';
  if (earlier.state.sizeBytes !== source.sizeBytes) return 'the source has another size';
  return undefined;
}
