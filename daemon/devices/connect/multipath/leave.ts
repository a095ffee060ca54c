/** Takes down a multipath map of our making, whatever state its paths are in.
 *    holders above ─unopened: removed▶ no queueing ▶ written back ▶ multipath -f ─refused▶ del map ▶ gone from sysfs
 *  Promises: a map that somebody uses stays (DEVICE_BUSY), and one that paths of somebody else have joined is left to him; nothing
 *  hangs because all paths are gone, as queueing ends first; it resolves when sysfs does not show the map any more. */

import { join } from 'node:path';
import { namesIn } from '../../block-names.ts';
import type { MapBuilt } from '../scsi/built.ts';
import { clearHolders, openCount, usersOf } from '../scsi/holders.ts';
import { type Scene, until } from '../scsi/scene.ts';
import { deviceBusy, deviceLeft } from '../trouble.ts';
import {
  failWithoutPaths,
  flushMap,
  forgetWwid,
  knownPaths,
  queueAsSet,
  removeMap,
  removePath,
} from './client.ts';
import { type MultipathMap, mapOf } from './maps.ts';

const goneLimitMs = 10_000;
const tries = 3;
/** Programs of udev read a new disk as long as that takes, which with a slow one is long. */
const glancesLimitMs = 60_000;

/** DEVICE_BUSY where it is open, and not just by those who look at every disk for a moment: they are waited for. */
async function untilUnused(scene: Scene, map: MultipathMap): Promise<void> {
  let users: string[] = [];
  const look = async () => {
    if (((await openCount(scene, map.name)) ?? 0) === 0) return 'unused';
    users = await usersOf(scene, map.folder);
    return users.length > 0 ? 'used' : undefined;
  };
  if ((await until(scene, look, { limitMs: glancesLimitMs, everyMs: 500 })) === 'unused') return;
  throw deviceBusy(scene.what, users.length > 0 ? users : [`${map.name} (${map.device}) is open`]);
}

export async function takeDown(scene: Scene, map: MultipathMap): Promise<void> {
  const { context, what } = scene;
  const used = await clearHolders(scene, map.folder);
  if (used.length > 0) throw deviceBusy(what, used);
  await failWithoutPaths(context, map.name);
  await context.probe.flush(map.device).catch((thrown: unknown) => {
    context.note(thrown instanceof Error ? thrown.message : String(thrown));
  });
  const gone = async () => ((await mapOf(context.folders, map.wwid)) === undefined ? true : undefined);
  let why = '';
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    why = (await flushMap(context, map.name)) ?? '';
    if ((await until(scene, gone, { limitMs: attempt * 1000 })) === true) return;
    if (/in use/.test(why) && attempt === tries) break;
  }
  await untilUnused(scene, map);
  why = (await removeMap(context, map.name)) ?? why;
  if ((await until(scene, gone, { limitMs: goneLimitMs })) === true) return;
  throw deviceLeft(what, [`map ${map.name} (${map.device})`], why || 'the map does not go');
}

/** What stands at the ways of the attachment: `made`: disks of its making; `found`: those that were there before it. */
export interface OwnDisks {
  readonly made: readonly string[];
  readonly found: readonly string[];
}

/** Paths that came into the map after us, and what was there before us while somebody works through the map. */
async function othersIn(scene: Scene, map: MultipathMap, own: OwnDisks): Promise<string[]> {
  const others = map.disks.filter((name) => !own.made.includes(name));
  if (others.every((name) => own.found.includes(name)) && ((await openCount(scene, map.name)) ?? 0) === 0)
    return [];
  return others;
}

/** The map, where it is ours alone; what was there before stays. */
export async function leaveMap(scene: Scene, built: MapBuilt, own: OwnDisks): Promise<void> {
  const { context } = scene;
  const map = await mapOf(context.folders, built.wwid);
  if (map === undefined || !built.made) return;
  const others = await othersIn(scene, map, own);
  if (others.length === 0) return takeDown(scene, map);
  context.note(`map ${map.name} stays: ${others.join(', ')} in it is of somebody else`);
  await queueAsSet(context, map.name);
}

/** multipathd must have let go of the disks, or it takes the next ones of these names for them. */
export async function dropPaths(scene: Scene, names: readonly string[]): Promise<string[]> {
  const { context } = scene;
  const still = async () => {
    // A name that is there is another disk's by now.
    const there = new Set(await namesIn(join(context.folders.sys, 'block')));
    const known = (await knownPaths(context)).map(({ name }) => name);
    return known.filter((name) => names.includes(name) && !there.has(name));
  };
  const none = async () => ((await still()).length === 0 ? true : undefined);
  if ((await until(scene, none, { limitMs: 3_000, everyMs: 200 })) === true) return [];
  for (const name of await still()) await removePath(context, name);
  return (await until(scene, none, { limitMs: 5_000, everyMs: 200 })) === true ? [] : still();
}

/** Forgets the WWID where it was not known before. */
export async function forget(scene: Scene, built: MapBuilt): Promise<void> {
  if (built.added && (await mapOf(scene.context.folders, built.wwid)) === undefined)
    await forgetWwid(scene.context, built.wwid);
}
