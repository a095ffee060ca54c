/** Brings up the controllers of a subsystem: one for each portal, or the first that works.
 *  Promises: what is about to be connected is journaled before, and stays journaled where nobody knows what became of it; a controller
 *  that is there is used, whoever has made it; a portal that does not answer keeps nobody from the others.
 *  Knows nothing of what is behind the controllers. */

import { join } from 'node:path';
import { type Scene, until } from '../scsi/scene.ts';
import { formatEndpoint } from '../url-parts.ts';
import type { NvmeNamespace, Portal } from './address.ts';
import { isMadeAt, type Made, type NvmeBuilt, saved, sharedEntry } from './built.ts';
import { type Controller, controllers, isAt, isGoing, lossSeconds, reconnectSeconds } from './controllers.ts';
import type { HostNames } from './host-names.ts';

const keepAliveSeconds = 5;
const connectTimeoutMs = 20_000;
const rescanTimeoutMs = 20_000;
/** One that is on its way out is waited for so long, and one that has lost its portal until it has tried again. */
const goneTimeoutMs = 10_000;
const returnTimeoutMs = 2 * reconnectSeconds * 1000;

export interface ConnectParts {
  readonly scene: Scene;
  readonly wanted: NvmeNamespace;
  readonly host: HostNames;
  /** Over all portals, not only the first that works. */
  readonly several: boolean;
}

/** Why a portal is not used. */
export interface Trouble {
  readonly portal: Portal;
  readonly why: string;
}

async function at({ scene, wanted, host }: ConnectParts, portal: Portal): Promise<Controller | undefined> {
  const all = await controllers(scene.context.folders.sys);
  return all.find(isAt(wanted.nqn, host.nqn, portal));
}

/** The controller that is at the portal, once it is clear what becomes of it. */
async function settled(parts: ConnectParts, portal: Portal): Promise<Controller | undefined> {
  const { scene } = parts;
  const first = await at(parts, portal);
  if (first === undefined || first.state === 'live') return first;
  scene.context.note(`Waiting for the controller at ${formatEndpoint(portal)}, which is ${first.state}`);
  const look = async () => {
    const now = await at(parts, portal);
    return now === undefined || now.state === 'live' ? { now } : undefined;
  };
  const limitMs = isGoing(first) ? goneTimeoutMs : returnTimeoutMs;
  const found = await until(scene, look, { limitMs });
  return found === undefined ? at(parts, portal) : found.now;
}

/** How a controller of ours that is there belongs to this attachment. */
async function joined({ scene, wanted }: ConnectParts, portal: Portal): Promise<Made> {
  const shared = sharedEntry(scene.context.others('nvme'), wanted.nqn, portal);
  const beside = shared?.made.beside ?? 'none';
  const known = Array.isArray(beside) && shared?.nsid !== null && shared?.nsid !== undefined;
  return { ...portal, beside: known ? [...beside, shared.nsid] : beside };
}

async function connect({ scene, wanted, host }: ConnectParts, portal: Portal): Promise<string | undefined> {
  const { context } = scene;
  context.note(`Connecting to ${formatEndpoint(portal)}`);
  const where = [`--traddr=${portal.host}`, `--trsvcid=${portal.port}`, `--nqn=${wanted.nqn}`];
  const limits = [
    `--ctrl-loss-tmo=${lossSeconds}`,
    `--reconnect-delay=${reconnectSeconds}`,
    `--keep-alive-tmo=${keepAliveSeconds}`,
  ];
  const who = [`--hostnqn=${host.nqn}`, `--hostid=${host.id}`];
  const timeoutMs = Math.max(1, Math.min(connectTimeoutMs, scene.leftMs()));
  const words = ['connect', '--transport=tcp', ...where, ...who, ...limits];
  const run = await context.tools.run('nvme', words, { timeoutMs, signal: context.signal });
  return run.status === 0 || /already connected/i.test(run.stderr) ? undefined : run.complaint;
}

/** Whether the portal is used now; else why not. */
async function reach(
  parts: ConnectParts,
  portal: Portal,
  there: Controller | undefined,
): Promise<Trouble | undefined> {
  const { tools, folders } = parts.scene.context;
  if (there?.state === 'live') {
    await tools.run('nvme', ['ns-rescan', join(folders.dev, there.name)], { timeoutMs: rescanTimeoutMs });
    return undefined;
  }
  if (there !== undefined) return { portal, why: `its controller is ${there.state}` };
  const why = await connect(parts, portal);
  return why === undefined ? undefined : { portal, why };
}

/** All at once, or one after the other until one works; resolves with what was built, and why the other portals are not used. */
export async function connectAll(
  parts: ConnectParts,
  before: NvmeBuilt,
): Promise<{ readonly built: NvmeBuilt; readonly troubles: readonly Trouble[] }> {
  const { wanted, several, scene, host } = parts;
  let built: NvmeBuilt = { ...before, nqn: wanted.nqn, hostNqn: host.nqn };
  const plan = async (portals: readonly Portal[]) => {
    const planned = await Promise.all(
      portals.map(async (portal) => ({ portal, there: await settled(parts, portal) })),
    );
    const made = [...built.made];
    for (const { portal, there } of planned) {
      if (made.some(isMadeAt(portal))) continue;
      if (there === undefined) made.push({ ...portal, beside: 'any' });
      else if (there.isOurs) made.push(await joined(parts, portal));
    }
    built = { ...built, made };
    await scene.context.journal(saved(built));
    const ended = planned.map(({ portal, there }) => reach(parts, portal, there));
    return (await Promise.all(ended)).flatMap((trouble) => trouble ?? []);
  };
  if (several) return { troubles: await plan(wanted.portals), built };
  const troubles: Trouble[] = [];
  for (const portal of wanted.portals) {
    const found = await plan([portal]);
    if (found.length === 0) break;
    troubles.push(...found);
  }
  return { built, troubles };
}
