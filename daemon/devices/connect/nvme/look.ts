/** Looks for a namespace behind the controllers of its subsystem.
 *  Promises: only reads; every way that works is asked who the namespace is, and all have to say the same; that another volume is now
 *  where it was is told from that it is gone. */

import { join } from 'node:path';
import { readText } from '../../block-names.ts';
import type { ConnectContext, DeviceIdentity, DevicePath, Observation } from '../connector.ts';
import { compareIdentity } from '../identity.ts';
import { deviceFailed, wrongDevice } from '../trouble.ts';
import { formatEndpoint } from '../url-parts.ts';
import { formatNvmeUrl, type NvmeNamespace, type Portal } from './address.ts';
import type { NvmeBuilt } from './built.ts';
import { type Controller, controllers, isAt, isNamespace, type Namespace, stateOf } from './controllers.ts';
import { identify, requireNamed } from './identify.ts';

export interface Way {
  readonly controller: Controller;
  readonly namespace: Namespace;
}

type Known = Pick<NvmeBuilt, 'nsid' | 'names'>;

export interface Looked {
  readonly found: Observation;
  readonly ways: readonly Way[];
  readonly nsid: number;
  /** False while a controller that works does not show it yet. */
  readonly isWhole: boolean;
}

/** False where each portal is a disk of its own: `nvme_core.multipath=N`, or a kernel without it. */
export async function hasNativeMultipath({ folders }: Pick<ConnectContext, 'folders'>): Promise<boolean> {
  const said = await readText(join(folders.sys, 'module/nvme_core/parameters/multipath'));
  return said?.trim() !== 'N';
}

const isWorking = ({ state }: DevicePath): boolean => state === 'active' || state === 'enabled';
export const workingOf = ({ paths }: Observation): number => paths.filter(isWorking).length;

/** The same whether the way works or not. */
const viaOf = ({ nqn }: NvmeNamespace, portal: Portal, { nsid }: Namespace): string =>
  `${formatEndpoint(portal)} ${nqn} namespace ${nsid}`;

async function pathOf(
  wanted: NvmeNamespace,
  way: Way,
  context: ConnectContext,
): Promise<DevicePath & { names: readonly string[] | null }> {
  const { controller, namespace } = way;
  const via = viaOf(wanted, controller, namespace);
  const path = { device: join(context.folders.dev, controller.name), number: null, via, identity: null };
  const state = stateOf(controller, namespace);
  if (controller.state !== 'live') return { ...path, state, names: null };
  const names = await identify(controller.name, namespace.nsid, context).catch((thrown: unknown) => {
    context.note(`${via}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    return null;
  });
  return names === null ? { ...path, state: 'failed', names } : { ...path, state, names };
}

/** What all ways that answer say; WRONG_DEVICE where they differ, or speak against what was asked for. */
function oneName(
  wanted: NvmeNamespace,
  answered: readonly { readonly via: string; readonly names: readonly string[] }[],
): readonly string[] {
  const [first] = answered;
  for (const { via, names } of answered) {
    requireNamed(wanted, { names });
    const verdict = compareIdentity({ names: first?.names ?? [], serial: null }, { names, serial: null });
    if (!verdict.same) throw wrongDevice(formatNvmeUrl(wanted), `on the path ${via} ${verdict.why}`);
  }
  return first?.names ?? [];
}

/** WRONG_DEVICE where the target has another volume under its number: the kernel drops the one and takes up the other at different
 *  times, and shows none of them in between. */
async function requireVacant(
  wanted: NvmeNamespace,
  known: Known,
  ours: readonly Controller[],
  context: ConnectContext,
): Promise<void> {
  const number = known.nsid ?? wanted.nsid;
  if (number === null) return;
  for (const { name } of ours.filter(({ state }) => state === 'live')) {
    const names = await identify(name, number, context).catch(() => []);
    if (names.length === 0) continue;
    requireNamed(wanted, { names });
    if (known.names.length === 0) continue;
    const verdict = compareIdentity({ names: known.names, serial: null }, { names, serial: null });
    if (!verdict.same) throw wrongDevice(formatNvmeUrl(wanted), verdict.why);
  }
}

/** The ways to the one disk; undefined where there is none, WRONG_DEVICE where another volume has taken its place. */
async function waysTo(
  wanted: NvmeNamespace,
  known: Known,
  context: ConnectContext,
): Promise<readonly Way[] | undefined> {
  const all = (await controllers(context.folders.sys)).filter(({ nqn }) => nqn === wanted.nqn);
  const ours = all.filter((one) => wanted.portals.some((portal) => isAt(wanted.nqn, null, portal)(one)));
  const waysOf = (some: readonly Controller[], fits: (one: Namespace) => boolean) =>
    some.flatMap((controller) =>
      controller.namespaces.filter(fits).map((namespace) => ({ controller, namespace })),
    );
  const disks = new Set(
    waysOf(ours, (one) => isNamespace(wanted, one)).map(({ namespace }) => namespace.disk),
  );
  const [disk, ...others] = disks;
  if (disk === undefined) {
    await requireVacant(wanted, known, ours, context);
    return undefined;
  }
  if (others.length > 0 && (await hasNativeMultipath(context)))
    throw deviceFailed(formatNvmeUrl(wanted), `its portals lead to several disks: ${[...disks].join(', ')}`);
  // The kernel uses every way to the disk, also those that somebody else has made.
  return waysOf(all, (one) => one.disk === disk);
}

/** `known`: under which number it was found before, and as what. */
export async function look(
  wanted: NvmeNamespace,
  known: Known,
  context: ConnectContext,
): Promise<Looked | undefined> {
  const ways = await waysTo(wanted, known, context);
  const [way] = ways ?? [];
  if (ways === undefined || way === undefined) return undefined;
  const { disk } = way.namespace;
  const number = ((await readText(join(context.folders.sys, 'block', disk, 'dev'))) ?? '').trim();
  if (number === '') return undefined;
  const seen = await Promise.all(ways.map((one) => pathOf(wanted, one, context)));
  const answered = seen.flatMap(({ via, names }) => (names === null ? [] : [{ via, names }]));
  if (answered.length === 0) throw deviceFailed(formatNvmeUrl(wanted), 'none of its paths answers');
  const names = oneName(wanted, answered);
  const device = join(context.folders.dev, disk);
  const size = await context.probe.size(device);
  const named = (said: readonly string[] | null): DeviceIdentity | null =>
    said === null ? null : { names: said, serial: null, ...size };
  const there = seen.map(({ names: said, ...path }) => ({ ...path, identity: named(said) }));
  const missing = context.policy.multipath ? await missingPaths(wanted, ways, way.namespace, context) : [];
  const paths = [...there, ...missing];
  const identity = { names, serial: null, ...size };
  const found = { device, number, identity, paths, map: null };
  return { found, ways, nsid: way.namespace.nsid, isWhole: await isWhole(wanted, ways, context) };
}

async function isWhole(
  wanted: NvmeNamespace,
  ways: readonly Way[],
  context: ConnectContext,
): Promise<boolean> {
  const live = (await controllers(context.folders.sys)).filter(
    (one) => one.state === 'live' && wanted.portals.some((portal) => isAt(wanted.nqn, null, portal)(one)),
  );
  return live.every(({ name }) => ways.some(({ controller }) => controller.name === name));
}

/** Portals that lead there, and over which nothing comes. */
async function missingPaths(
  wanted: NvmeNamespace,
  ways: readonly Way[],
  namespace: Namespace,
  context: ConnectContext,
): Promise<DevicePath[]> {
  if (!(await hasNativeMultipath(context))) return [];
  const isThere = (portal: Portal) =>
    ways.some(({ controller }) => isAt(wanted.nqn, null, portal)(controller));
  return wanted.portals
    .filter((portal) => !isThere(portal))
    .map((portal) => ({
      device: null,
      number: null,
      via: viaOf(wanted, portal, namespace),
      state: 'missing',
      identity: null,
    }));
}
