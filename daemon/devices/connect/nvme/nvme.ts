/** Namespaces of NVMe over TCP.
 *    portals ─connect▶ controllers ─the namespace that calls itself so▶ one disk, over every way that works
 *  Promises: beside those of every connector, a controller that was there before is used and stays; one of ours that loses its target
 *  gives up after half a minute, and its readers get an error. Several portals are several ways to one disk, by the kernel's own
 *  multipath. All that changes a subsystem's controllers takes turns, also with other agents of this host. */

import { join } from 'node:path';
import { statOf } from '../../block-names.ts';
import type { Attached, Built, ConnectContext, Connection, Connector, Observation } from '../connector.ts';
import { loading } from '../remedies.ts';
import { rest, type Scene, sceneOf, until } from '../scsi/scene.ts';
import { attachDenied, attachFailed, attachRefused, deviceFailed, multipathMissing } from '../trouble.ts';
import { formatEndpoint } from '../url-parts.ts';
import { formatNvmeUrl, type NvmeNamespace, nvmeNamespace, parseNvmeInfo, parseNvmeUrl } from './address.ts';
import { type NvmeBuilt, readNvmeBuilt, saved } from './built.ts';
import { type ConnectParts, connectAll, type Trouble } from './connect.ts';
import { controllers, isAt } from './controllers.ts';
import { hostNames } from './host-names.ts';
import { numbersSaid, sizeSaid } from './identify.ts';
import { leftovers } from './leftovers.ts';
import { hasNativeMultipath, type Looked, look, workingOf } from './look.ts';
import { release } from './release.ts';

const format = (connection: Connection): string => formatNvmeUrl(nvmeNamespace(connection));
/** Whichever portals lead there, and whoever this host calls itself: controllers are those of all attachments of the subsystem. */
function key(connection: Connection): string {
  const { nqn, uuid, nguid, nsid } = nvmeNamespace(connection);
  return `${nqn} ${uuid ?? nguid ?? nsid}`;
}

const lockOf = (nqn: string): string => `nvme ${nqn}`;

/** Looks again and again, as each controller lists its namespaces a while after it came up. */
async function waitFor(
  { scene, wanted }: ConnectParts,
  before: NvmeBuilt,
  isHopeless: boolean,
): Promise<Looked | undefined> {
  const { context } = scene;
  for (let attempt = 0; ; attempt += 1) {
    const found = await look(wanted, before, context);
    const isLast = isHopeless || attempt > context.policy.scanAttempts || scene.leftMs() === 0;
    if (found?.isWhole === true || isLast) return found;
    context.note('Waiting for the namespace');
    await rest(scene, 500 * 2 ** Math.min(attempt, 4));
  }
}

/** With the namespaces that new controllers show beside it. */
async function settledBuilt(
  { scene, wanted, host }: ConnectParts,
  built: NvmeBuilt,
  { nsid, found }: Looked,
): Promise<NvmeBuilt> {
  const { context } = scene;
  const all = await controllers(context.folders.sys);
  const made = built.made.map(async (one) => {
    const there = all.find(isAt(wanted.nqn, host.nqn, one));
    if (one.beside !== 'any' || there === undefined) return one;
    const shown = [
      ...(await numbersSaid(there.name, context)),
      ...there.namespaces.map((namespace) => namespace.nsid),
    ];
    return { ...one, beside: [...new Set(shown)].filter((other) => other !== nsid).sort((a, b) => a - b) };
  });
  const names = [...found.identity.names];
  const settled = { ...built, nsid, names, made: await Promise.all(made) };
  await context.journal(saved(settled));
  return settled;
}

const textOf = (troubles: readonly Trouble[]): string =>
  troubles.map(({ portal, why }) => `${formatEndpoint(portal)}: ${why}`).join('; ');

/** What connects over TCP is there as soon as anybody has connected: the kernel loads the rest by itself. */
async function remedyOf({ dev, sys }: ConnectContext['folders']): Promise<string | undefined> {
  const needed = [join(dev, 'nvme-fabrics'), join(sys, 'module/nvme_tcp')];
  const there = await Promise.all(needed.map(statOf));
  return there.includes(undefined) ? loading('nvme_tcp') : undefined;
}

async function notThere({ scene, wanted, host }: ConnectParts, troubles: readonly Trouble[]): Promise<Error> {
  const what = formatNvmeUrl(wanted);
  const why = textOf(troubles);
  const remedy = await remedyOf(scene.context.folders);
  if (remedy !== undefined) return attachFailed(what, why, undefined, remedy);
  if (/denied|not permitted|auth/i.test(why)) return attachDenied(what, why);
  if (troubles.length < wanted.portals.length) {
    const none = 'the subsystem shows no such namespace to this host';
    return attachFailed(what, why === '' ? none : `${none}; ${why}`);
  }
  // Of a subsystem that is not there and of one that does not let this host in the kernel tells the same.
  return attachRefused(
    what,
    why,
    `See that the target has this subsystem, lets the host "${host.nqn}" in, and can be reached at these portals`,
  );
}

/** The kernel has taken over the size that the namespace says it has, or was given the time to. */
async function grown(scene: Scene, { ways, found, nsid }: Looked): Promise<void> {
  const { context } = scene;
  const live = ways.find(({ controller }) => controller.state === 'live');
  const wanted = live === undefined ? undefined : await sizeSaid(live.controller.name, nsid, context);
  if (wanted === undefined) return;
  const look = async () => ((await context.probe.size(found.device)).sizeBytes === wanted ? true : undefined);
  await until(scene, look, { limitMs: 5_000, everyMs: 200 });
}

async function attachWith(
  wanted: NvmeNamespace,
  before: NvmeBuilt,
  context: ConnectContext,
): Promise<Attached> {
  const what = formatNvmeUrl(wanted);
  const scene = sceneOf(context, what);
  const { multipath, enforceMultipath, pathsMin } = context.policy;
  const native = await hasNativeMultipath(context);
  if (multipath && enforceMultipath && !native)
    throw multipathMissing(what, 'the kernel has no multipath for NVMe (nvme_core.multipath=N)');
  const host = await hostNames(context.folders.etc, wanted.hostNqn);
  const parts = { scene, wanted, host, several: multipath && native };
  return context.alone(lockOf(wanted.nqn), async () => {
    const { built, troubles } = await connectAll(parts, before);
    const first = await waitFor(parts, before, troubles.length === wanted.portals.length);
    if (first === undefined) throw await notThere(parts, troubles);
    const settled = await settledBuilt(parts, built, first);
    if (before.nsid !== null) await grown(scene, first);
    const found = (before.nsid === null ? first : await look(wanted, settled, context))?.found;
    if (found === undefined) throw await notThere(parts, troubles);
    const working = workingOf(found);
    const why = textOf(troubles) || 'see their states';
    if (working < pathsMin) throw attachFailed(what, `${working} of its paths work, not ${pathsMin}: ${why}`);
    return { ...found, built: saved(settled) };
  });
}

const attach = (connection: Connection, context: ConnectContext): Promise<Attached> =>
  attachWith(nvmeNamespace(connection), readNvmeBuilt({}), context);

async function observe(connection: Connection, built: Built, context: ConnectContext): Promise<Observation> {
  const looked = await look(nvmeNamespace(connection), readNvmeBuilt(built), context);
  if (looked === undefined) throw deviceFailed(format(connection), 'its controllers show no such namespace');
  return looked.found;
}

const rescan = (connection: Connection, built: Built, context: ConnectContext): Promise<Attached> =>
  attachWith(nvmeNamespace(connection), readNvmeBuilt(built), context);

async function detach(connection: Connection, built: Built, context: ConnectContext): Promise<void> {
  const wanted = nvmeNamespace(connection);
  const scene = sceneOf(context, formatNvmeUrl(wanted));
  await context.alone(lockOf(wanted.nqn), () => release({ scene, wanted, built: readNvmeBuilt(built) }));
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
  leftovers,
};
