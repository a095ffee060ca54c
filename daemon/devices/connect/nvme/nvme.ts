/** Namespaces of NVMe over TCP.
 *  Promises: beside those of every connector, a controller that was there before is used and stays, as does one that shows other
 *  namespaces; one of ours that loses its target gives up after half a minute, and its readers get an error. Several portals are
 *  several ways to one disk, by the kernel's own multipath. */

import { access } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { readText } from '../../block-names.ts';
import type { Attached, Built, ConnectContext, Connection, Connector, Observation } from '../connector.ts';
import { loading } from '../remedies.ts';
import { clearHolders, usersOf } from '../scsi/holders.ts';
import { sceneOf, until } from '../scsi/scene.ts';
import {
  attachDenied,
  attachFailed,
  deviceBusy,
  deviceFailed,
  deviceLeft,
  multipathMissing,
} from '../trouble.ts';
import { formatEndpoint } from '../url-parts.ts';
import { formatNvmeUrl, type NvmeNamespace, nvmeNamespace, parseNvmeInfo, parseNvmeUrl } from './address.ts';
import { type Controller, controllers, isNamespace, stateOf } from './controllers.ts';
import { hostNames } from './host-names.ts';
import { identify, requireNamed } from './identify.ts';

const builtShape = z.object({
  /** Portals to which this attachment connects; the id of the controller once it is known. */
  made: z.array(z.object({ host: z.string(), port: z.number(), id: z.string().nullable() })).default([]),
});
type Made = z.infer<typeof builtShape>['made'][number];
type Portal = NvmeNamespace['portals'][number];

/** An unusual number, by which controllers of ours are known again, whichever attachment has made them. The kernel counts it in
 *  whole delays. */
const reconnectSeconds = 3;
const lossSeconds = 11 * reconnectSeconds;
const keepAliveSeconds = 5;
const connectTimeoutMs = 20_000;
const goneTimeoutMs = 10_000;

const format = (connection: Connection): string => formatNvmeUrl(nvmeNamespace(connection));
/** Whichever portals lead there, and whoever this host calls itself: controllers are those of all attachments of the subsystem. */
function key(connection: Connection): string {
  const { nqn, uuid, nguid, nsid } = nvmeNamespace(connection);
  return `${nqn} ${uuid ?? nguid ?? nsid}`;
}

const lockOf = (nqn: string): string => `nvme ${nqn}`;
const atPortal =
  (nqn: string, { host, port }: Portal) =>
  (one: Controller) =>
    one.nqn === nqn && one.host === host && one.port === port;

async function connect(
  wanted: NvmeNamespace,
  portal: Portal,
  context: ConnectContext,
): Promise<string | undefined> {
  const { nqn, id } = await hostNames(context.folders.etc, wanted.hostNqn);
  const where = [`--traddr=${portal.host}`, `--trsvcid=${portal.port}`, `--nqn=${wanted.nqn}`];
  const limits = [
    `--ctrl-loss-tmo=${lossSeconds}`,
    `--reconnect-delay=${reconnectSeconds}`,
    `--keep-alive-tmo=${keepAliveSeconds}`,
  ];
  const words = ['connect', '--transport=tcp', ...where, `--hostnqn=${nqn}`, `--hostid=${id}`, ...limits];
  const { timeoutMs } = context.policy;
  const options = { timeoutMs: Math.min(connectTimeoutMs, timeoutMs), signal: context.signal };
  const run = await context.tools.run('nvme', words, options);
  return run.status === 0 || /already connected/i.test(run.stderr) ? undefined : run.complaint;
}

/** Connects to the portals that have no controller yet; resolves with what was made, and why the others were not. */
async function connectAll(wanted: NvmeNamespace, before: readonly Made[], context: ConnectContext) {
  // Those from before are found again at their portals.
  const made = before.filter(
    (one) => !wanted.portals.some(({ host, port }) => one.host === host && one.port === port),
  );
  const troubles: string[] = [];
  let live = 0;
  for (const portal of wanted.portals) {
    if (!context.policy.multipath && live > 0) break;
    const via = formatEndpoint(portal);
    const there = (await controllers(context.folders.sys)).find(atPortal(wanted.nqn, portal));
    if (there !== undefined) {
      await context.tools.run('nvme', ['ns-rescan', join(context.folders.dev, there.name)]);
      live += 1;
      if (there.lossSeconds === String(lossSeconds)) {
        made.push({ ...portal, id: there.id });
        await context.journal({ made });
      }
      continue;
    }
    context.note(`Connecting to ${via}`);
    made.push({ ...portal, id: null });
    await context.journal({ made });
    const why = await connect(wanted, portal, context);
    const now = (await controllers(context.folders.sys)).find(atPortal(wanted.nqn, portal));
    if (why !== undefined) troubles.push(`${via}: ${why}`);
    // Where there is none yet, the kernel may still be at it after the program has been ended: the detach looks for it.
    if (now === undefined) continue;
    made.splice(-1, 1, { ...portal, id: now.id });
    live += 1;
    await context.journal({ made });
  }
  return { made, troubles };
}

async function look(wanted: NvmeNamespace, context: ConnectContext): Promise<Observation | undefined> {
  const ways = (await controllers(context.folders.sys)).filter(
    (one) => one.nqn === wanted.nqn && wanted.portals.some((portal) => atPortal(wanted.nqn, portal)(one)),
  );
  const seen = ways.flatMap((way) =>
    way.namespaces.filter((one) => isNamespace(wanted, one)).map((namespace) => ({ way, namespace })),
  );
  const disks = new Set(seen.map(({ namespace }) => namespace.disk));
  const [disk, ...others] = disks;
  if (disk === undefined) return undefined;
  if (others.length > 0)
    throw deviceFailed(formatNvmeUrl(wanted), `its portals lead to several disks: ${[...disks].join(', ')}`);
  const number = ((await readText(join(context.folders.sys, 'block', disk, 'dev'))) ?? '').trim();
  if (number === '') return undefined;
  const identity = await identify(disk, context);
  requireNamed(wanted, identity);
  const paths = seen.map(({ way, namespace }) => ({
    device: join(context.folders.dev, way.name),
    number: null,
    via: `${formatEndpoint(way)} ${wanted.nqn} namespace ${namespace.nsid}`,
    state: stateOf(way, namespace),
    identity: null,
  }));
  return { device: join(context.folders.dev, disk), number, identity, paths, map: null };
}

async function waitFor(wanted: NvmeNamespace, context: ConnectContext): Promise<Observation | undefined> {
  const until = performance.now() + context.policy.timeoutMs;
  for (let attempt = 0; ; attempt += 1) {
    context.signal.throwIfAborted();
    const found = await look(wanted, context);
    if (found !== undefined || attempt > context.policy.scanAttempts || performance.now() > until)
      return found;
    context.note('Waiting for the namespace');
    await sleep(500 * 2 ** Math.min(attempt, 4));
  }
}

/** What connects over TCP is there as soon as anybody has connected: the kernel loads the rest by itself. */
async function remedyOf({ dev, sys }: ConnectContext['folders']): Promise<string | undefined> {
  const needed = [join(dev, 'nvme-fabrics'), join(sys, 'module/nvme_tcp')];
  const there = await Promise.all(
    needed.map((path) =>
      access(path).then(
        () => true,
        () => false,
      ),
    ),
  );
  return there.includes(false) ? loading('nvme_tcp') : undefined;
}

async function attachWith(
  wanted: NvmeNamespace,
  before: readonly Made[],
  context: ConnectContext,
): Promise<Attached> {
  const what = formatNvmeUrl(wanted);
  const { multipath, enforceMultipath, pathsMin } = context.policy;
  const native = await readText(join(context.folders.sys, 'module/nvme_core/parameters/multipath'));
  if (multipath && enforceMultipath && native?.trim() === 'N')
    throw multipathMissing(what, 'the kernel has no multipath for NVMe (nvme_core.multipath=N)');
  const { made, troubles } = await context.alone(lockOf(wanted.nqn), () =>
    connectAll(wanted, before, context),
  );
  const found = await waitFor(wanted, context);
  if (found === undefined) {
    const why =
      troubles.length > 0 ? troubles.join('; ') : 'the subsystem shows no such namespace to this host';
    if (/denied|not permitted|auth/i.test(why)) throw attachDenied(what, why);
    throw attachFailed(what, why, undefined, await remedyOf(context.folders));
  }
  const working = found.paths.filter(({ state }) => state === 'active' || state === 'enabled').length;
  if (working < pathsMin)
    throw attachFailed(
      what,
      `${working} of its paths work, not ${pathsMin}: ${troubles.join('; ') || 'see their states'}`,
    );
  return { ...found, built: { made } };
}

const attach = (connection: Connection, context: ConnectContext): Promise<Attached> =>
  attachWith(nvmeNamespace(connection), [], context);

async function observe(connection: Connection, _built: Built, context: ConnectContext): Promise<Observation> {
  const found = await look(nvmeNamespace(connection), context);
  if (found === undefined) throw deviceFailed(format(connection), 'its controllers show no such namespace');
  return found;
}

const rescan = (connection: Connection, built: Built, context: ConnectContext): Promise<Attached> =>
  attachWith(nvmeNamespace(connection), builtShape.parse(built).made, context);

/** Resolves with what is left of one portal. */
async function letGo(wanted: NvmeNamespace, made: Made, context: ConnectContext): Promise<string[]> {
  const found = async () =>
    (await controllers(context.folders.sys)).find(
      (one) =>
        atPortal(wanted.nqn, made)(one) &&
        one.lossSeconds === String(lossSeconds) &&
        (made.id === null || made.id === one.id),
    );
  const there = await found();
  if (there === undefined) return [];
  if (there.namespaces.some((namespace) => !isNamespace(wanted, namespace))) {
    context.note(`Leaving the controller at ${formatEndpoint(made)}: it shows other namespaces`);
    return [];
  }
  await context.tools.run('nvme', ['disconnect', `--device=${there.name}`], { timeoutMs: connectTimeoutMs });
  for (const until = performance.now() + goneTimeoutMs; performance.now() < until; await sleep(100))
    if ((await found()) === undefined) return [];
  return [`controller "${there.name}"`];
}

/** Whether the disk will be gone with the controllers of this attachment. */
async function goesWith(wanted: NvmeNamespace, made: readonly Made[], context: ConnectContext) {
  const ways = (await controllers(context.folders.sys)).filter(
    ({ nqn, namespaces }) => nqn === wanted.nqn && namespaces.some((one) => isNamespace(wanted, one)),
  );
  return ways.every(
    (way) =>
      way.lossSeconds === String(lossSeconds) &&
      made.some((one) => atPortal(wanted.nqn, one)(way)) &&
      way.namespaces.every((one) => isNamespace(wanted, one)),
  );
}

/** Programs that look at a disk for a moment are waited for. */
const usersLimitMs = 5_000;

async function requireUnused(
  wanted: NvmeNamespace,
  { device }: Observation,
  context: ConnectContext,
): Promise<void> {
  const what = formatNvmeUrl(wanted);
  const scene = sceneOf(context, what);
  const folder = join(context.folders.sys, 'block', basename(device));
  let used: string[] = [];
  const unused = async () => {
    used = [...(await clearHolders(scene, folder)), ...(await usersOf(scene, folder))];
    return used.length === 0 ? true : undefined;
  };
  if ((await until(scene, unused, { limitMs: usersLimitMs, everyMs: 500 })) !== true)
    throw deviceBusy(what, used);
}

async function detach(connection: Connection, built: Built, context: ConnectContext): Promise<void> {
  const wanted = nvmeNamespace(connection);
  const { made } = builtShape.parse(built);
  const left = await context.alone(lockOf(wanted.nqn), async () => {
    const found = await look(wanted, context).catch(() => undefined);
    if (found !== undefined && (await goesWith(wanted, made, context)))
      await requireUnused(wanted, found, context);
    if (found !== undefined) await context.probe.flush(found.device).catch(() => undefined);
    const all: string[] = [];
    for (const one of made) all.push(...(await letGo(wanted, one, context)));
    return all;
  });
  if (left.length > 0) throw deviceLeft(format(connection), left, `there is still ${left.join(', ')}`);
}

export const nvme: Connector = {
  kind: 'nvme',
  driverTypes: ['nvmeof', 'nvme'],
  summary: 'A namespace of NVMe over TCP, by one or more portals, named by ?uuid=, ?nguid= or ?nsid=',
  example: 'nvme://10.0.0.2,10.0.1.2/nqn.2026-01.example:disk?uuid=6001405a-3c1f-4f0b-9d2e-0f1c5a7b9e11',
  needs: ['nvme-cli'],
  parseUrl: parseNvmeUrl,
  parseInfo: parseNvmeInfo,
  format,
  key,
  attach,
  observe,
  rescan,
  detach,
};
