/** The composition root: builds every part, starts them in order, stops them in reverse. The only file that takes values
 *  from the addon.
 *
 *    lock ▶ catalog ▶ recovery ▶ memory ▶ repository ▶ view ▶ socket ▶ ready
 *
 *  Promises: one daemon a state folder; what a killed daemon left is cleaned up before anything new begins; after `stop`
 *  nothing is mounted and nothing is half-written. Knows nothing of argv and signals. */

import { realpath } from 'node:fs/promises';
import { cpus, hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import { native, readerProgram } from '../native/native.ts';
import { MiB } from './base/bytes.ts';
import { systemClock } from './base/clock.ts';
import { eventStopGraceMs, jobsUnderWayMax, remountPatienceMs } from './base/limits.ts';
import type { Catalog } from './catalog/catalog.ts';
import { openLmdbCatalog, requireCatalogFile } from './catalog/lmdb-catalog.ts';
import { defaultRepository } from './catalog/records.ts';
import { machineMemory, usableMemory } from './config/check.ts';
import type { EffectiveSettings } from './config/load.ts';
import { showSettings } from './config/render.ts';
import { operationsDefault, type Settings } from './config/settings.ts';
import { allHandlers } from './control/handlers/all.ts';
import type { HandlerParts } from './control/handlers/parts.ts';
import { readGroupId } from './control/listen.ts';
import { startServer } from './control/server.ts';
import { createSights } from './control/sights.ts';
import { startTelling } from './control/telling.ts';
import { systemFolders } from './devices/connect/connector.ts';
import { connectors } from './devices/connect/connectors.ts';
import { thisHost } from './devices/connect/host.ts';
import { createProbe } from './devices/connect/probe.ts';
import { systemTools } from './devices/connect/tools.ts';
import { type SnapshotMakers, snapshotMakers } from './devices/snapshots/makers.ts';
import { Attachments } from './jobs/attachments/attachments.ts';
import { EventCommand } from './jobs/event-command.ts';
import { Events } from './jobs/events.ts';
import type { HookSettings } from './jobs/hooks.ts';
import { Jobs } from './jobs/jobs.ts';
import { retryLeftovers } from './jobs/leftovers.ts';
import { MountKeeper, unmountAll } from './jobs/mounts.ts';
import { Operations } from './jobs/operations.ts';
import { Quotas } from './jobs/quotas.ts';
import { warnOfLacks } from './jobs/readiness.ts';
import { recoverBackups, removeTemporary } from './jobs/recover.ts';
import { Repositories, type RepositoryOrder } from './jobs/repositories.ts';
import { RepositoryHolder } from './jobs/repository-holder.ts';
import { ServiceState } from './jobs/service-state.ts';
import type { Services } from './jobs/services.ts';
import { cleanUpAfterEarlier, openAndRecover } from './jobs/start-up.ts';
import { hostIdOf, lockState } from './jobs/state.ts';
import { viewSourceOf } from './jobs/view-source.ts';
import { releaseMappedRegularly } from './memory/mapped.ts';
import { divideMemory, type MemoryShares, regionSizes } from './memory/shares.ts';
import { Rate } from './pipeline/rate.ts';
import { openLocation, parseRepositoryUrl } from './repository/locations.ts';
import { openView, type View } from './view/view.ts';

export interface Agent {
  stop(): Promise<void>;
}

type Undo = () => Promise<void> | void;

export async function startAgent(effective: EffectiveSettings, log: Logger): Promise<Agent> {
  const undo: Undo[] = [];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) {
      await Promise.resolve()
        .then(step)
        .catch((thrown: unknown) => log.error({ err: thrown }, 'A step of the stop failed; going on'));
    }
  };
  try {
    await start(effective, log, undo);
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  return { stop };
}

async function start(effective: EffectiveSettings, log: Logger, undo: Undo[]): Promise<void> {
  const { values } = effective;
  const startedAtMs = systemClock.now();
  undo.push(await lockState(native, values.state_dir));
  const catalog = await openCatalog(values.state_dir, undo);
  const snapshots = makersOf(values);
  const attachments = openAttachments(catalog, values, undo, log);
  const { events, command, jobs } = startJobs({ catalog, snapshots, attachments }, effective, log);

  const viewDirectory = await realViewDirectory(values.view_dir);
  const [stateDirectory, hooks] = [values.state_dir, hooksOf(values)];
  await cleanUpAfterEarlier({ catalog, stateDirectory, hooks, snapshots, attachments, viewDirectory, log });
  native.setDevicePriority(values.io_priority);
  const shares = await shareMemory(effective, log);
  const recover = async (name: string) =>
    (await recoverBackups(services, name)).forEach((line) => log.warn(line));
  const repositories = openRepositories(effective, catalog, await hostIdOf(catalog), shares, recover);
  undo.push(() => repositories.close());

  const service = openService(values, catalog, repositories, undo);
  let view: View | undefined;
  const services: Services = {
    catalog,
    jobs,
    events,
    repositories,
    budget: shares.budget,
    operations: new Operations(values.max_operations || jobsUnderWayMax),
    quotas: quotasOf(catalog, effective),
    native,
    clock: systemClock,
    service,
    listLimit: values.list_limit,
    restoreDirectory: values.restore_dir,
    stateDirectory,
    view: () => view,
    rates: { read: new Rate(values.read_rate), write: new Rate(values.write_rate) },
    connectors,
    attachments,
    snapshots,
    keepSnapshots: values.lvm_keep_snapshots,
    hooks,
    busyVolumes: new Set(),
    ...resumption(values),
    busyFolders: new Set(),
    waitingMounts: new Map(),
    copyBytes: shares.copyBytes,
  };
  void warnOfLacks(services, log);
  await openAndRecover(services, values.offload_recovery, log);

  if (viewDirectory !== null) {
    view = await openViewAt(viewDirectory, services, shares, effective, log);
    undo.push(() => closeView(view, services, log));
  }

  undo.push(() => command.stop(eventStopGraceMs));
  await serve(services, effective, startedAtMs, undo, log);
}

/** Makes the mounts of an earlier daemon again, opens the socket, and says that the daemon is ready. */
async function serve(
  services: Services,
  effective: EffectiveSettings,
  startedAtMs: number,
  undo: Undo[],
  log: Logger,
): Promise<void> {
  undo.push(retryLeftovers(services, log));
  if (services.view() !== undefined) await keepMounts(services, undo, log);
  const notifier = startTelling({ ...services, native }, log);
  undo.push(() => notifier.close());
  const { socket, repository, view_dir: viewDir } = effective.values;
  const stopping = new AbortController();
  const parts = {
    services,
    socketPath: socket,
    settings: showSettings(effective),
    startedAtMs,
    stopping: stopping.signal,
  };
  const server = await openSocket(parts, effective, log);
  undo.push(() => server.close());
  undo.push(() => stopping.abort());
  // Jobs first: whoever watches one gets its end as an answer.
  undo.push(() => services.jobs.stop());
  undo.push(() => notifier.stopping());
  notifier.ready();
  log.info({ socket, repository, viewDir, hash: native.hashImplementation() }, 'Ready');
}

/** An end reaches a command that fails for less than half a minute. */
const eventRetries = { triesMax: 5, restMs: 2000 };

/** The jobs, and who is told of what becomes of them. */
function startJobs(
  { catalog, snapshots, attachments }: Pick<Services, 'catalog' | 'snapshots' | 'attachments'>,
  { values }: EffectiveSettings,
  log: Logger,
) {
  const progressEveryMs = values.enable_progress_timer ? values.progress_interval * 1000 : null;
  const events = new Events({ catalog, clock: systemClock, host: hostname(), progressEveryMs });
  const command = new EventCommand({
    words: values.event_command,
    timeoutMs: values.event_timeout * 1000,
    log,
    ...eventRetries,
  });
  events.follow((event) => command.push(event));
  const observe: Events['observe'] = (stage, look) => {
    events.observe(stage, look);
    if (stage === 'ended') void attachments.forgetUser({ kind: 'job', id: look().record.id });
  };
  const forget = (path: string) => removeTemporary(snapshots, path);
  const jobs = new Jobs({ catalog, clock: systemClock, log, observe, removeTemporary: forget });
  return { events, command, jobs };
}

/** Agents of one host take turns by these, whatever state folders they have. Who is not root attaches little, and alone. */
const lockDirectoryOf = (stateDirectory: string): string =>
  process.getuid?.() === 0 ? '/run/lock/basalt' : join(stateDirectory, 'locks');
/** How long a stop waits for devices that jobs have just let go. */
const detachPatienceMs = 15_000;

function openAttachments(catalog: Catalog, values: Settings, undo: Undo[], log: Logger): Attachments {
  const attachments = new Attachments({
    catalog,
    connectors,
    clock: systemClock,
    log,
    native,
    probe: createProbe(native),
    tools: systemTools,
    folders: systemFolders,
    policy: {
      multipath: values.use_multipath,
      enforceMultipath: values.enforce_multipath,
      pathsMin: values.multipath_paths_min,
      scanAttempts: values.num_volume_device_scan_tries,
      timeoutMs: values.attach_timeout * 1000,
    },
    host: thisHost(),
    stateDirectory: values.state_dir,
    lockDirectory: lockDirectoryOf(values.state_dir),
  });
  undo.push(() => attachments.close(detachPatienceMs));
  return attachments;
}

async function openCatalog(stateDirectory: string, undo: Undo[]): Promise<Catalog> {
  const path = join(stateDirectory, 'catalog.mdb');
  await requireCatalogFile(path);
  const catalog = openLmdbCatalog(path);
  // At once: a process can't end while the library writes.
  undo.push(() => catalog.close());
  // The library opens it for children, too, and it holds secrets.
  native.keepFromChildren(path);
  undo.push(releaseMappedRegularly(native, path));
  await catalog.ready();
  return catalog;
}

function openService(
  values: Settings,
  catalog: Catalog,
  repositories: Repositories,
  undo: Undo[],
): ServiceState {
  const service = new ServiceState({
    catalog,
    repositories,
    clock: systemClock,
    host: hostname(),
    zone: values.availability_zone,
    everyMs: values.repository_check_interval * 1000,
  });
  undo.push(() => service.close());
  return service;
}

/** The kernel knows mounts and the files under loop devices by their real paths. The view itself may be a dead mount, which has
 *  none: only what it is in is resolved. */
async function realViewDirectory(viewDirectory: string | null): Promise<string | null> {
  if (viewDirectory === null) return null;
  const parent = await realpath(dirname(viewDirectory)).catch(() => dirname(viewDirectory));
  return join(parent, basename(viewDirectory));
}

async function openViewAt(
  viewDirectory: string,
  services: Services,
  shares: MemoryShares,
  { values }: EffectiveSettings,
  log: Logger,
) {
  const adminGid = await readGroupId(values.admin_group);
  return openView({
    native,
    cache: shares.viewCache,
    scratch: shares.viewScratch,
    source: viewSourceOf(services),
    viewDirectory,
    readerProgram,
    clock: systemClock,
    threads: Math.max(2, Math.min(8, cpus().length)),
    allowOther: values.view_allow_other,
    sightOf: createSights({ native, clock: systemClock, adminGid, grants: values.project_grants }),
    callerOwnsAll: values.view_owners === 'caller',
    onEnd: () =>
      log.warn({ viewDir: viewDirectory }, 'Somebody unmounted the view; it comes back with the next start'),
  });
}

/** Mounts of an earlier daemon come back. One whose repository hangs must not keep this one from starting. */
async function keepMounts(services: Services, undo: Undo[], log: Logger): Promise<void> {
  const keeper = new MountKeeper(services, {
    onBack: ({ directory, backup_id }) => log.info({ directory, backup_id }, 'Mounted again'),
    onWaiting: ({ directory, backup_id }, why) =>
      log.warn({ directory, backup_id, why }, 'Cannot mount again; trying until it can be'),
  });
  undo.push(() => keeper.close());
  await Promise.race([keeper.start(), wait(remountPatienceMs, undefined, { ref: false })]);
}

async function closeView(view: View | undefined, services: Services, log: Logger): Promise<void> {
  for (const { mount, why } of await unmountAll(services))
    log.error({ directory: mount.directory, why }, 'A mount is left');
  await view?.close();
}

/** A limit beyond what the machine can give would only end in the kernel's hands. */
async function cappedMemory(limitBytes: number, log: Logger): Promise<number> {
  const usableBytes = usableMemory(await machineMemory());
  if (limitBytes <= usableBytes) return Math.floor(limitBytes / MiB) * MiB;
  log.warn({ limitBytes, usableBytes }, 'memory_limit is more than can be used here; it is capped');
  return usableBytes;
}

const resumption = (values: EffectiveSettings['values']) => ({
  checkpointEveryMs: values.checkpoint_interval * 1000,
  repositoryPatienceMs: values.resume_patience * 1000,
});

function makersOf(values: Settings): SnapshotMakers {
  const lvm = { snapshotPercent: values.lvm_snapshot_percent, poolPercentMax: values.lvm_pool_limit };
  return snapshotMakers({ native, tools: systemTools, lvm, notesFolder: join(values.state_dir, 'pools') });
}

const hooksOf = (values: Settings): HookSettings => ({
  freeze: values.freeze_command,
  thaw: values.thaw_command,
  timeoutMs: values.hook_timeout * 1000,
});

/** `onOpen` puts right what a killed daemon left half-done: at the start, or whenever the repository is there again. */
function openRepositories(
  { values }: EffectiveSettings,
  catalog: Catalog,
  hostId: string,
  shares: MemoryShares,
  onOpen: (name: string) => Promise<void>,
): Repositories {
  const openIds = new Set<string>();
  const hold = ({ id, url, read_only: readOnly }: RepositoryOrder): RepositoryHolder => {
    const isInitial = id === defaultRepository;
    const location = openLocation({
      url,
      user: hostId,
      indexFolder: values.state_dir,
      blockBytes: values.block_bytes,
      clock: systemClock,
      lend: isInitial
        ? () => Promise.resolve({ ...shares.repository, release: () => undefined })
        : shares.further,
      openIds,
      chunks: shares.chunks,
      cacheBytes: values.cinder_cache_bytes,
      readOnly,
      native,
      compressionLevel: values.compression_level,
    });
    return new RepositoryHolder({
      url,
      open: () => location.open(),
      onOpen: () => onOpen(id),
      init: (options) => location.init(options),
    });
  };
  const initial = { id: defaultRepository, ...parseRepositoryUrl(values.repository), read_only: false };
  return new Repositories({ catalog, clock: systemClock, initial, hold, parse: parseRepositoryUrl });
}

async function shareMemory(effective: EffectiveSettings, log: Logger): Promise<MemoryShares> {
  const { values } = effective;
  const sizes = regionSizes(await cappedMemory(values.memory_limit, log));
  const regions = sizes.map((bytes) => native.allocateArena(bytes));
  return divideMemory(regions, systemClock, sharers(effective), values.view_dir !== null);
}

/** How many copies the memory is divided among. Without a limit of their number each gets what it would have by default. */
const sharers = ({ values }: EffectiveSettings): number => values.max_operations || operationsDefault;

const quotasOf = (catalog: Catalog, { values }: EffectiveSettings): Quotas =>
  new Quotas(catalog, { backups: values.quota_backups, backup_gigabytes: values.quota_backup_gigabytes });

function openSocket(parts: HandlerParts, { values }: EffectiveSettings, log: Logger) {
  return startServer({
    native,
    handlers: allHandlers(parts),
    socketPath: values.socket,
    adminGroup: values.admin_group,
    grants: values.project_grants,
    log,
  });
}
