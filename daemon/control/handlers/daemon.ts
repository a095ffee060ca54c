/** status, config.show, limit.*: one function a method. */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { defaultRepository } from '../../catalog/records.ts';
import { deviceReadiness } from '../../jobs/readiness.ts';
import type { Services } from '../../jobs/services.ts';
import type { LimitValue, StatusValue } from '../../protocol/values.ts';
import { productVersion } from '../../protocol/version.ts';
import { describeRepository } from '../describe-repository.ts';
import type { Caller } from '../dispatch.ts';
import type { HandlerParts, Some } from './parts.ts';

export const daemonHandlers = (
  parts: HandlerParts,
): Some<'status' | 'config.show' | 'limit.show' | 'limit.set'> => {
  const { services } = parts;
  return {
    status: async (_, caller) => describeDaemon(parts, caller),
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

async function describeDaemon(
  { services, socketPath, startedAtMs }: HandlerParts,
  caller: Caller,
): Promise<StatusValue> {
  const ready = await deviceReadiness(services);
  const known = services.repositories.list();
  const repository = await describeRepository(services.repositories.known(defaultRepository));
  const { budget, clock } = services;
  const seen = seenBy(services, caller);
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
      leases: memory.leases.filter(({ owner }) => seen.isSeen(owner)).map(line),
      waiting: memory.waiting.filter(({ owner }) => seen.isSeen(owner)).map(line),
    },
    jobs: seen.jobs,
    limits: presentLimits(services),
    event_loop_delay_ms: loopDelay(),
    volumes: seen.volumes,
    backups: seen.backups,
    devices: ready.map(({ kind, missing }) => ({ kind, missing: [...missing] })),
  };
}

interface Seen {
  readonly jobs: StatusValue['jobs'];
  readonly volumes: number;
  readonly backups: number;
  /** Whether the owner of memory may be told: the daemon itself, or a job of the caller's. */
  isSeen(owner: string): boolean;
}

/** What belongs to a job ends with its id. */
const jobIdAtEnd = / ([0-9a-f-]{36})$/;

/** Counts of what the caller may see: of everything for an administrator, else of his projects. */
function seenBy({ catalog, jobs }: Services, caller: Caller): Seen {
  if (caller.admin) {
    const [volumes, backups] = [catalog.count('volumes'), catalog.count('backups')];
    return { jobs: jobs.counts, volumes, backups, isSeen: () => true };
  }
  const own = jobs.active().filter(({ record }) => caller.mayActFor(record.project_id));
  const ids = new Set(own.map(({ record }) => record.id));
  const running = own.filter(({ record }) => record.status === 'running').length;
  const volumes = [...catalog.all('volumes')].filter(({ project_id }) => caller.mayActFor(project_id)).length;
  const usages = caller.projects.map((project) => catalog.usage(project));
  const backups = usages.reduce((sum, usage) => sum + usage.backups + usage.reserved_backups, 0);
  const isSeen = (owner: string) => {
    const id = jobIdAtEnd.exec(owner)?.[1];
    return id === undefined || ids.has(id);
  };
  return { jobs: { running, queued: own.length - running }, volumes, backups, isSeen };
}
