/** What the jobs are made of, put together by the composition root. */

import type { Native } from '../../native/native.ts';
import { MiB } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { ordinal } from '../base/ordinal.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Budget, Grant } from '../memory/budget.ts';
import { copyBytesMax, copyBytesMin } from '../pipeline/parts.ts';
import type { Rate } from '../pipeline/rate.ts';
import type { View } from '../view/view.ts';
import type { JobContext, Jobs } from './jobs.ts';
import type { Operations } from './operations.ts';
import type { Quotas } from './quotas.ts';
import type { Repositories } from './repositories.ts';

export interface Services {
  readonly catalog: Catalog;
  readonly jobs: Jobs;
  readonly repositories: Repositories;
  readonly budget: Budget;
  readonly operations: Operations;
  readonly quotas: Quotas;
  readonly native: Native;
  readonly clock: Clock;
  /** Name of this host, as records have it. */
  readonly host: string;
  /** Where a restore that names no target makes its file. */
  readonly restoreDirectory: string;
  readonly stateDirectory: string;
  /** The view while it is mounted. */
  readonly view: () => View | undefined;
  /** Rates of all copies together: what is read from sources and packs to be checked, what is written to targets. */
  readonly rates: { readonly read: Rate; readonly write: Rate };
  /** Volumes whose backup is being recorded: the catalog does not say so yet. */
  readonly busyVolumes: Set<string>;
  /** Folders at which a mount is being recorded. */
  readonly busyFolders: Set<string>;
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
    const bytesMax = Math.max(copyBytesMin, Math.min(services.copyBytes, copyBytesMax));
    const wish = { owner: `${owner} ${context.id}`, bytesMin: copyBytesMin, bytesMax };
    const onWait = (place: number) =>
      context.waitFor(`memory: ${wish.bytesMin / MiB} MiB needed, ${ordinal(place)} in line`);
    const grant = await services.budget.admit(wish, signal, onWait);
    try {
      context.waitFor(null);
      return await copy(grant);
    } finally {
      grant.release();
    }
  } finally {
    leave();
  }
}

export const timestamp = (clock: Clock): string => new Date(clock.now()).toISOString();
