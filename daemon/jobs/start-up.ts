/** What a start does with what an earlier daemon left: cleans up what needs nothing but this host, then takes up its jobs.
 *  Promises: everything that was done is in the log; a repository that is away keeps nobody from starting. */

import type { Logger } from 'pino';
import { systemClock } from '../base/clock.ts';
import { toFault } from '../base/faults.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { jobStatus } from '../catalog/statuses.ts';
import type { SnapshotMakers } from '../devices/snapshots/makers.ts';
import { detachLoopsBelow } from '../view/file-system-mount.ts';
import type { Attachments } from './attachments/attachments.ts';
import { dropStaleHints } from './hints.ts';
import { type HookSettings, thawAfterCrash } from './hooks.ts';
import { unmountAll } from './mounts.ts';
import { recoverJobs, resumeJobs } from './recover.ts';
import type { Services } from './services.ts';
import { recoverSnapshots } from './snapshots.ts';

export interface LeftoverParts {
  readonly catalog: Catalog;
  readonly stateDirectory: string;
  readonly hooks: HookSettings;
  readonly snapshots: SnapshotMakers;
  readonly attachments: Attachments;
  readonly viewDirectory: string | null;
  readonly log: Logger;
}

/** What a daemon that was killed left on this host; needs no repository. */
export async function cleanUpAfterEarlier(parts: LeftoverParts): Promise<void> {
  const { catalog, stateDirectory, hooks, snapshots, viewDirectory, log } = parts;
  await dropStaleHints(stateDirectory);
  for (const line of await thawAfterCrash(catalog, hooks)) log.warn(line);
  for (const line of await inheritAttachments(parts)) log.warn(line);
  for (const line of await snapshots.recover()) log.warn(line);
  for (const line of await recoverSnapshots(parts)) log.warn(line);
  for (const line of await recoverJobs({ ...parts, clock: systemClock })) log.warn(line);
  for (const { mount, why } of await unmountAll({ catalog }))
    log.error({ directory: mount.directory, why }, 'A mount of an earlier daemon is left');
  if (viewDirectory !== null) await detachLoopsBelow(viewDirectory);
}

/** Jobs that go on keep what they had attached, and so does the operator. */
function inheritAttachments({ attachments, catalog }: LeftoverParts): Promise<string[]> {
  return attachments.inherit(({ kind, id }) => {
    if (kind === 'operator') return true;
    const job = catalog.get('jobs', id);
    return job !== undefined && job.plan !== null && !jobStatus.hasEnded(job.status);
  });
}

/** A repository may be missing now and there later: the daemon starts all the same, and says so. `offload`: deletions that were
 *  left half-done don't hold up the start. */
export async function openAndRecover(services: Services, offload: boolean, log: Logger): Promise<void> {
  // Before a repository is opened: what has a job that goes on is not put right in another way.
  const resumed = await resumeJobs(services);
  for (const { what } of resumed) log.warn(what);
  void services.attachments.settle();
  for (const { id, holder } of services.repositories.list()) {
    try {
      await holder.get();
    } catch (thrown) {
      const { code, message, hint } = toFault(thrown);
      log.warn({ code, hint }, `${message}; going on without repository "${id}"`);
    }
  }
  if (!offload) await deletionsOf(resumed, services);
}

/** Where a repository is away, deletions wait for it; the daemon does not. */
async function deletionsOf(
  resumed: Awaited<ReturnType<typeof resumeJobs>>,
  services: Services,
): Promise<void> {
  if (services.repositories.list().some(({ holder }) => holder.current === undefined)) return;
  const forEver = new AbortController().signal;
  const deletions = resumed.filter(({ kind }) => kind === 'delete');
  await Promise.all(deletions.map(({ id }) => services.jobs.watch(id, () => undefined, forEver)));
}
