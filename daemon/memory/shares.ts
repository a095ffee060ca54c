/** How the one budget is divided: what is lent for the life of the daemon, and how much one copy may take.
 *  Promises: the shares fit the smallest `memory_limit` that the settings allow. */

import { GiB, KiB, MiB, roundUp } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { segmentBytes, stageBuffers, viewScratchSlots, viewSlotBytes } from '../base/limits.ts';
import { Budget } from './budget.ts';
import { Pool } from './pool.ts';

/** Pages of maps, what goes into packs, and two buffers for checks. */
export interface RepositoryShare {
  readonly pages: Uint8Array;
  readonly stage: Uint8Array;
  readonly input: Uint8Array;
  readonly output: Uint8Array;
}

export interface MemoryShares {
  readonly budget: Budget;
  /** For the repository of the settings, for the life of the daemon. */
  readonly repository: RepositoryShare;
  /** For a further one, smaller, for as long as it is open. */
  readonly further: () => Promise<RepositoryShare & { release(): void }>;
  /** Where objects of Cinder repositories are decompressed; lent when the first of them is opened. */
  readonly chunks: () => Promise<Pool>;
  readonly viewCache: Uint8Array;
  readonly viewScratch: Uint8Array;
  /** Bytes that one copy may take, so that all that may run at once find room. */
  readonly copyBytes: number;
}

const none = new Uint8Array(0);

const stageBytes = stageBuffers * segmentBytes;

/** One array of Node holds little more, and what is lent in one piece is far less. */
const regionBytesMax = 2 * GiB;
/** The view's cache is one piece, and leaves room beside it. */
const viewCacheBytesMax = 1 * GiB;

/** Sizes of the regions that a limit is made of, in whole MiB: as few as can be, and about as large as each other. */
export function regionSizes(limitBytes: number): number[] {
  const count = Math.max(1, Math.ceil(limitBytes / regionBytesMax));
  const units = Math.floor(limitBytes / MiB);
  return Array.from({ length: count }, (_, i) => Math.floor((units + i) / count) * MiB);
}

export async function divideMemory(
  regions: readonly ArrayBuffer[],
  clock: Clock,
  operationsMax: number,
  withView: boolean,
): Promise<MemoryShares> {
  const budget = new Budget(regions, clock);
  const limit = budget.report().limitBytes;
  const lend = async (owner: string, bytes: number): Promise<Uint8Array> => {
    const grant = await budget.admit({ owner, bytesMin: bytes, bytesMax: bytes });
    return grant.slice(bytes);
  };
  const repository = {
    pages: await lend('map pages', roundUp(Math.max(MiB, Math.min(16 * MiB, limit / 64)), 64 * KiB)),
    stage: await lend('pack writes', stageBytes),
    input: await lend('repository check', segmentBytes),
    output: await lend('repository check', segmentBytes),
  };
  const viewCache = withView
    ? await lend('view cache', roundUp(Math.min(viewCacheBytesMax, limit / 8), viewSlotBytes))
    : none;
  const viewScratch = withView ? await lend('view reads', viewScratchSlots * viewSlotBytes) : none;
  const chunkBytes = roundUp(Math.max(12 * MiB, limit / 8), 64 * KiB);
  let pool: Promise<Pool> | undefined;
  const chunks = () => (pool ??= lend('Cinder objects', chunkBytes).then((memory) => new Pool(memory)));
  const copyBytes =
    Math.floor((limit - budget.report().reservedBytes) / operationsMax / segmentBytes) * segmentBytes;
  return {
    budget,
    repository,
    further: () => lendFurther(budget),
    chunks,
    viewCache,
    viewScratch,
    copyBytes,
  };
}

/** How many there may be is `repositoriesMax`. */
async function lendFurther(budget: Budget): Promise<RepositoryShare & { release(): void }> {
  const bytes = MiB + stageBytes + 2 * segmentBytes;
  const grant = await budget.admit({ owner: 'further repository', bytesMin: bytes, bytesMax: bytes });
  return {
    pages: grant.slice(MiB),
    stage: grant.slice(stageBytes),
    input: grant.slice(segmentBytes),
    output: grant.slice(segmentBytes),
    release: () => grant.release(),
  };
}
