/** repository.*, catalog.*, status, config.show: one function a method. */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { toFault } from '../../base/faults.ts';
import { checkRepository, rebuildCatalog } from '../../jobs/repository-jobs.ts';
import type { Services } from '../../jobs/services.ts';
import type { LimitValue, RepositoryValue, StatusValue } from '../../protocol/values.ts';
import { productVersion } from '../../protocol/version.ts';
import type { HandlerParts, Some } from './parts.ts';

export const repositoryHandlers = (
  parts: HandlerParts,
): Some<
  | 'repository.init'
  | 'repository.show'
  | 'repository.check'
  | 'repository.stats'
  | 'catalog.rebuild'
  | 'status'
  | 'config.show'
  | 'limit.show'
  | 'limit.set'
> => {
  const { services } = parts;
  return {
    'repository.init': async ({ block_bytes }) => {
      await services.repository.init(block_bytes);
      return describeRepository(services);
    },
    'repository.show': async () => describeRepository(services),
    'repository.check': async ({ read_data }) => ({
      job_id: (await checkRepository(services, read_data)).id,
    }),
    'repository.stats': async () => {
      const repository = await services.repository.get();
      const counts = await repository.statistics();
      let volumeBytes = 0;
      for (const { size_bytes, status } of services.catalog.all('backups')) {
        if (status === 'available' || status === 'restoring') volumeBytes += size_bytes;
      }
      return {
        ...(await describeRepository(services)),
        backups: counts.backups,
        packs: counts.packs,
        blocks: counts.blocks,
        stored_bytes: counts.storedBytes,
        volume_bytes: volumeBytes,
        index_bytes: counts.indexBytes,
        free_bytes: counts.freeBytes ?? null,
      };
    },
    'catalog.rebuild': async () => ({ job_id: (await rebuildCatalog(services)).id }),
    status: async () => describeDaemon(parts),
    'limit.show': async () => presentLimits(services),
    'limit.set': async ({ read, write }) => {
      const { rates } = services;
      rates.read.bytesPerSecond = read ?? rates.read.bytesPerSecond;
      rates.write.bytesPerSecond = write ?? rates.write.bytesPerSecond;
      return presentLimits(services);
    },
    'config.show': async () => ({ settings: [...parts.settings] }),
  };
};

/** The repository; one that is not open is tried again, because whatever kept it shut may be over. */
async function describeRepository({ repository: holder }: Services): Promise<RepositoryValue> {
  const none = {
    name: 'default',
    url: holder.url,
    kind: 'native',
    id: null,
    block_bytes: null,
    created_at: null,
  };
  try {
    const { id, blockBytes, createdAt } = await holder.get();
    return { ...none, status: 'ready', id, block_bytes: blockBytes, created_at: createdAt };
  } catch (thrown) {
    const { code } = toFault(thrown);
    return { ...none, status: code === 'REPOSITORY_MISSING' ? 'missing' : code.toLowerCase() };
  }
}

const presentLimits = ({ rates }: Services): LimitValue => ({
  read_bytes_per_second: rates.read.bytesPerSecond,
  write_bytes_per_second: rates.write.bytesPerSecond,
});

/** The timer of the measurement itself comes every `resolutionMs`: what is beyond is delay. */
const resolutionMs = 5;
const loop = monitorEventLoopDelay({ resolution: resolutionMs });
loop.enable();

function loopDelay(): StatusValue['event_loop_delay_ms'] {
  const inMs = (nanoseconds: number) => Math.max(0, Math.round(nanoseconds / 1e5 - resolutionMs * 10) / 10);
  const delay = { p50: inMs(loop.percentile(50)), p99: inMs(loop.percentile(99)), max: inMs(loop.max) };
  loop.reset();
  return delay;
}

async function describeDaemon({ services, socketPath, startedAtMs }: HandlerParts): Promise<StatusValue> {
  const { budget, jobs, catalog, clock } = services;
  const memory = budget.report();
  const line = ({ owner, bytes, sinceMs }: { owner: string; bytes: number; sinceMs: number }) => ({
    owner,
    bytes,
    since: new Date(sinceMs).toISOString(),
  });
  return {
    version: productVersion,
    pid: process.pid,
    uptime_seconds: Math.round((clock.now() - startedAtMs) / 1000),
    socket: socketPath,
    state_dir: services.stateDirectory,
    view_dir: services.view()?.directory ?? null,
    repository: await describeRepository(services),
    memory: {
      limit_bytes: memory.limitBytes,
      reserved_bytes: memory.reservedBytes,
      peak_bytes: memory.peakBytes,
      rss_bytes: process.memoryUsage.rss(),
      leases: memory.leases.map(line),
      waiting: memory.waiting.map(line),
    },
    jobs: jobs.counts,
    limits: presentLimits(services),
    event_loop_delay_ms: loopDelay(),
    volumes: catalog.count('volumes'),
    backups: catalog.count('backups'),
  };
}
