/** Puts the paths of one volume into a multipath map, and waits for it.
 *    disks ─multipathd's WWID▶ multipath -a ─add path▶ map "mpath-WWID" with all of them ▶ no queueing without paths
 *  Promises: the map is the one of this WWID, which fits what the disks said of themselves; it has no path that leads elsewhere; a map
 *  of our making fails its readers when all paths are gone, in place of holding them in the kernel; one that was there is left as it is.
 *  Each wait says what it waits for. */

import { stat } from 'node:fs/promises';
import { deviceNumber } from '../../locate.ts';
import type { DeviceIdentity } from '../connector.ts';
import type { MapBuilt } from '../scsi/built.ts';
import type { ScsiDisk } from '../scsi/disks.ts';
import { checkOne, type Names } from '../scsi/identify.ts';
import { type Scene, until } from '../scsi/scene.ts';
import { wrongDevice } from '../trouble.ts';
import {
  addPath,
  checkWwid,
  failWithoutPaths,
  knownPaths,
  knownWwids,
  type NoMultipath,
  rememberWwid,
} from './client.ts';
import { type MultipathMap, mapOf } from './maps.ts';

const wwidLimitMs = 20_000;
const mapLimitMs = 30_000;
const askAgainMs = 2_000;

export interface Member {
  readonly disk: ScsiDisk;
  readonly via: string;
  readonly identity: DeviceIdentity;
  /** The disk is of this attachment's making: a map over such disks alone is, too, whoever has put it together. */
  readonly made: boolean;
}

export const isOfOwnDisks = (map: MultipathMap, members: readonly Member[]): boolean =>
  map.disks.every((name) => members.some(({ disk, made }) => made && disk.name === name));

/** Calls `task` no more often than `everyMs`. */
function nowAndThen(everyMs: number, task: () => Promise<void>): (elapsedMs: number) => Promise<void> {
  let next = everyMs;
  return async (elapsedMs) => {
    if (elapsedMs < next) return;
    next = elapsedMs + everyMs;
    await task();
  };
}

/** A WWID of multipath begins with the kind of the name that it was made from: 3 of "naa.", 2 of "eui.", 1 of "t10.". */
export function fits(wwid: string, { names }: Names): boolean {
  const [kind, rest] = [wwid.slice(0, 1), wwid.slice(1).toLowerCase()];
  const wanted = kind === '3' ? 'naa.' : kind === '2' ? 'eui.' : undefined;
  const own = names.filter((name) => wanted !== undefined && name.startsWith(wanted));
  return own.length === 0 || own.includes(`${wanted}${rest}`);
}

const leftOut = ({ device }: ScsiDisk): NoMultipath => ({
  why: `the settings of multipath leave out ${device}`,
  remedy: 'See what leaves it out, and change it in /etc/multipath.conf: multipathd show blacklist',
});

/** What multipathd calls the disks; else why it does not take them. */
async function wwidOf(scene: Scene, members: readonly Member[]): Promise<{ wwid: string } | NoMultipath> {
  const { context, what } = scene;
  let refused: NoMultipath | undefined;
  const tell = async () => {
    for (const { disk } of members) {
      const said = await addPath(context, disk.name);
      if (/blacklisted/.test(said ?? '')) refused = leftOut(disk);
    }
  };
  const look = async () => {
    if (refused !== undefined) return refused;
    const known = await knownPaths(context);
    const own = members.map(({ disk }) => known.find(({ name }) => name === disk.name)?.wwid ?? '');
    return own.every((wwid) => wwid !== '') ? own : undefined;
  };
  const meanwhile = nowAndThen(askAgainMs, async () => {
    context.note('waiting for multipathd to know the new paths');
    await tell();
  });
  const all = await until(scene, look, { limitMs: wwidLimitMs, everyMs: 200, meanwhile });
  if (all !== undefined && 'why' in all) return all;
  const [wwid, ...others] = all ?? [];
  if (wwid === undefined) return { why: 'multipathd does not take its disks', remedy: undefined };
  if (others.some((other) => other !== wwid))
    throw wrongDevice(what, `multipathd calls its paths ${[...new Set(all)].join(' and ')}`);
  for (const { identity, via } of members) {
    if (fits(wwid, identity)) continue;
    throw wrongDevice(
      what,
      `by way of ${via} it calls itself ${identity.names.join(', ')}, multipathd ${wwid}`,
    );
  }
  return { wwid: checkWwid(wwid) };
}

/** Paths in the map that are not among ours must be the same volume by their own word. */
export async function checkForeign(
  scene: Scene,
  map: MultipathMap,
  members: readonly Pick<Member, 'disk' | 'via' | 'identity'>[],
): Promise<void> {
  const own = new Set(members.map(({ disk }) => disk.name));
  const foreign = map.disks.filter((name) => !own.has(name));
  const ask = async (name: string) => {
    const device = `${scene.context.folders.dev}/${name}`;
    const identity = await scene.context.probe.scsiIdentity(device).catch(() => undefined);
    return { device, identity };
  };
  for (const { device, identity } of await Promise.all(foreign.map(ask))) {
    if (identity === undefined) {
      scene.context.note(`${device} in map ${map.name} does not answer`);
      continue;
    }
    checkOne(scene.what, [...members, { via: `${device}, which is in map ${map.name}`, identity }], null);
    scene.context.note(`${device} is a path of map ${map.name} too, by another attachment`);
  }
}

async function nodeReady(map: MultipathMap): Promise<boolean> {
  const stats = await stat(map.device, { bigint: true }).catch(() => undefined);
  return stats !== undefined && deviceNumber(stats.rdev) === map.number;
}

async function waitForMap(
  scene: Scene,
  wwid: string,
  members: readonly Member[],
): Promise<MultipathMap | undefined> {
  const { context } = scene;
  let seen: MultipathMap | undefined;
  const missing = () => members.filter(({ disk }) => seen?.disks.includes(disk.name) !== true);
  const look = async () => {
    seen = await mapOf(context.folders, wwid);
    return seen !== undefined && missing().length === 0 && (await nodeReady(seen)) ? seen : undefined;
  };
  const meanwhile = nowAndThen(askAgainMs, async () => {
    context.note(
      `waiting for the map: ${members.length - missing().length} of ${members.length} paths in map ${wwid}`,
    );
    for (const { disk } of missing()) await addPath(context, disk.name);
  });
  return (await until(scene, look, { limitMs: mapLimitMs, everyMs: 200, meanwhile })) ?? seen;
}

/** The map, or why none came about. `wwids`: those that were known before the disks; `begin`: called before anything is made. */
export async function joinMap(
  scene: Scene,
  members: readonly Member[],
  wwids: readonly string[],
  begin: (map: MapBuilt) => Promise<void>,
): Promise<MultipathMap | NoMultipath> {
  const { context } = scene;
  const called = await wwidOf(scene, members);
  if ('why' in called) return called;
  const { wwid } = called;
  const before = await mapOf(context.folders, wwid);
  const made = before === undefined || isOfOwnDisks(before, members);
  await begin({ wwid, made, added: !wwids.includes(wwid) });
  if (!(await knownWwids(context)).includes(wwid)) await rememberWwid(context, wwid);
  for (const { disk } of members) await addPath(context, disk.name);
  const map = await waitForMap(scene, wwid, members);
  if (map === undefined)
    return { why: `multipathd has made no map ${wwid} within ${mapLimitMs / 1000} s`, remedy: undefined };
  await checkForeign(scene, map, members);
  if (made) {
    const refused = await failWithoutPaths(context, map.name);
    if (refused !== undefined)
      context.note(`map ${map.name} goes on to queue when all paths are gone: ${refused}`);
  }
  return map;
}
