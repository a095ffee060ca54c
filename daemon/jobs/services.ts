/** What the jobs are made of, put together by the composition root. */

import type { Native } from '../../native/native.ts';
import { MiB } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/faults.ts';
import { ordinal } from '../base/ordinal.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Connectors } from '../devices/connect/connectors.ts';
import type { SnapshotMakers } from '../devices/snapshots/makers.ts';
import type { Budget, Grant } from '../memory/budget.ts';
import { copyBytesFor, copyBytesMin } from '../pipeline/parts.ts';
import type { Rate } from '../pipeline/rate.ts';
import type { Repository } from '../repository/repository.ts';
import type { View } from '../view/view.ts';
import type { Attachments } from './attachments/attachments.ts';
import type { Events } from './events.ts';
import type { HookSettings } from './hooks.ts';
import type { JobContext } from './job-order.ts';
import type { Jobs } from './jobs.ts';
import type { Operations } from './operations.ts';
import type { Quotas } from './quotas.ts';
import type { Repositories } from './repositories.ts';
import type { ServiceState } from './service-state.ts';

export interface Services {
  readonly catalog: Catalog;
  readonly jobs: Jobs;
  readonly events: Events;
  readonly repositories: Repositories;
  readonly budget: Budget;
  readonly operations: Operations;
  /** How devices of other hosts and storages are reached, and those that are attached. */
  readonly connectors: Connectors;
  readonly attachments: Attachments;
  readonly quotas: Quotas;
  readonly native: Native;
  readonly clock: Clock;
  readonly service: ServiceState;
  /** Most backups in one answer. */
  readonly listLimit: number;
  /** Where a restore that names no target makes its file. */
  readonly restoreDirectory: string;
  readonly stateDirectory: string;
  /** The view while it is mounted. */
  readonly view: () => View | undefined;
  /** Rates of all copies together: what is read from sources and packs to be checked, what is written to targets. */
  readonly rates: { readonly read: Rate; readonly write: Rate };
  /** Who can make a snapshot of what. */
  readonly snapshots: SnapshotMakers;
  /** Whether the last snapshot of a volume in use stays, where the next one can be compared with it. */
  readonly keepSnapshots: boolean;
  /** What is run around the making of a snapshot. */
  readonly hooks: HookSettings;
  /** Volumes and snapshots whose backup is being recorded: the catalog does not say so yet. */
  readonly busyVolumes: Set<string>;
  /** How often a backup or restore makes durable what it has done, so that it can be gone on with. */
  readonly checkpointEveryMs: number;
  /** How long a job that goes on after a restart waits for a repository that is away. */
  readonly repositoryPatienceMs: number;
  /** Folders at which a mount is being recorded. */
  readonly busyFolders: Set<string>;
  /** Mounts that are wanted and not there, by their ids, with the reason. */
  readonly waitingMounts: Map<string, string>;
  /** Most bytes that one copy may take of the budget, so that all that may run at once find room. */
  readonly copyBytes: number;
}

/** Waits for a place and for memory, and runs the copy with them. Memory is first come first served: only who has a place asks
 *  for it, and places are fair between projects, so that no project has more before another than its turns gave it; and who
 *  needs much is not passed for ever by those who need little. */
export async function withMemory<T>(
  services: Services,
  context: JobContext,
  owner: string,
  copy: (grant: Grant) => Promise<T>,
): Promise<T> {
  const { project, signal } = context;
  const leave = await services.operations.enter({ project, signal, onWait: (why) => context.waitFor(why) });
  try {
    const { running } = services.operations;
    // Who is alone may have what makes it fast: those who come later find room for the least they need all the same.
    const share = running === 1 ? Number.POSITIVE_INFINITY : services.copyBytes;
    const bytesMax = Math.max(copyBytesMin, Math.min(share, copyBytesFor(running)));
    const wish = { owner: `${owner} ${context.id}`, bytesMin: copyBytesMin, bytesMax };
    const onWait = (place: number) =>
      context.waitFor(`memory: ${wish.bytesMin / MiB} MiB needed, ${ordinal(place)} in line`);
    const grant = await services.budget.admit(wish, signal, onWait);
    try {
      await context.started();
      return await copy(grant);
    } finally {
      grant.release();
    }
  } finally {
    leave();
  }
}

/** How often a job asks for a repository that is away. */
const repositoryAskEveryMs = 2_000;

/** What may be over by itself: the file system of the repository is not mounted yet, another host has locked it. */
const mayPass = new Set(['REPOSITORY_MISSING', 'STORAGE_FAILED', 'OBJECT_MISSING', 'REPOSITORY_LOCKED']);

/** The repository. A job that goes on after a restart waits for one that is away, up to a limit. */
export async function repositoryFor(
  services: Services,
  context: JobContext,
  name: string,
  purpose: 'read' | 'write',
): Promise<Repository> {
  const { repositories, clock, repositoryPatienceMs } = services;
  if (!context.resumed) return repositories.get(name);
  const endMs = clock.now() + repositoryPatienceMs;
  for (;;) {
    try {
      const opened = await repositories.get(name);
      await (purpose === 'write' ? opened.requireWritable() : opened.requireHere());
      return opened;
    } catch (thrown) {
      const passing = thrown instanceof Fault && mayPass.has(thrown.code);
      if (!passing || clock.now() >= endMs) throw thrown;
      context.waitFor('repository');
    }
    for (let waitedMs = 0; waitedMs < repositoryAskEveryMs; waitedMs += 100) {
      context.signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

export const timestamp = (clock: Clock): string => new Date(clock.now()).toISOString();
