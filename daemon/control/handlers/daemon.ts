/** status, config.show, limit.*: one function a method. */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { defaultRepository } from '../../catalog/records.ts';
import type { Services } from '../../jobs/services.ts';
import type { LimitValue, StatusValue } from '../../protocol/values.ts';
import { productVersion } from '../../protocol/version.ts';
import { describeRepository } from '../describe-repository.ts';
import type { HandlerParts, Some } from './parts.ts';

export const daemonHandlers = (
  parts: HandlerParts,
): Some<'status' | 'config.show' | 'limit.show' | 'limit.set'> => {
  const { services } = parts;
  return {
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
  const known = services.repositories.list();
  const repository = await describeRepository(services.repositories.known(defaultRepository));
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
    repository,
    repositories: [repository, ...(await Promise.all(known.slice(1).map(describeRepository)))],
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
