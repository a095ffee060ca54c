/** Looks at an attachment that is there: as it is (`observe`), at who is behind its ways alone (`askable`), and after a grown volume
 *  (`grow`).
 *  Promises: fresh names of every path, held against those of the attach; a map is resized only when all its paths have one size, and
 *  its new size is looked at, whatever multipathd answered. */

import { join } from 'node:path';
import { Fault } from '../../../base/faults.ts';
import type { AskablePath, Observation } from '../connector.ts';
import { resizeMap } from '../multipath/client.ts';
import { checkForeign } from '../multipath/join.ts';
import { type MultipathMap, mapOf, mapOver } from '../multipath/maps.ts';
import type { ScsiBuilt, WayBuilt } from './built.ts';
import { diskAt, type ScsiDisk } from './disks.ts';
import { checkOne, identify } from './identify.ts';
import { isLive, observation, type Seen } from './look.ts';
import type { WayOf } from './release.ts';
import { type Scene, until } from './scene.ts';

async function diskOf(scene: Scene, built: WayBuilt, wayOf: WayOf): Promise<ScsiDisk | undefined> {
  const address = await wayOf(built).address();
  return address === undefined ? undefined : diskAt(scene.context.folders, address);
}

async function seeWay(scene: Scene, built: WayBuilt, wayOf: WayOf): Promise<Seen> {
  const { via } = built;
  const disk = await diskOf(scene, built, wayOf);
  if (disk === undefined) return { via, disk, identity: null };
  const identity = await identify(scene, disk).catch((thrown: unknown) => {
    scene.context.note(`${via}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    return null;
  });
  return { via, disk, identity };
}

/** The map that reads and writes go through; DEVICE_FAILED where it has gone. */
async function mapUnder(
  scene: Scene,
  built: ScsiBuilt,
  all: readonly Seen[],
): Promise<MultipathMap | undefined> {
  const { folders } = scene.context;
  if (built.map !== null) {
    const map = await mapOf(folders, built.map.wwid);
    if (map !== undefined) return map;
    const why = `its map ${built.map.wwid} is gone`;
    throw new Fault('DEVICE_FAILED', `Cannot reach "${scene.what}": ${why}`);
  }
  for (const { disk } of all) {
    const map = disk === undefined ? undefined : await mapOver(folders, disk);
    if (map !== undefined) return map;
  }
  return undefined;
}

export async function observe(scene: Scene, built: ScsiBuilt, wayOf: WayOf): Promise<Observation> {
  const all = await Promise.all(built.ways.map((way) => seeWay(scene, way, wayOf)));
  const live = all.filter(isLive);
  checkOne(scene.what, live, built.identity);
  const map = await mapUnder(scene, built, all);
  // A path that came into the map later is read from and written to as well.
  const others = map?.disks.filter((name) => !all.some(({ disk }) => disk?.name === name)) ?? [];
  if (map !== undefined) await checkForeign(scene, { ...map, disks: others }, live);
  return observation(scene, all, map);
}

/** What can be asked who it is, without a word to multipathd. */
export async function askable(scene: Scene, built: ScsiBuilt, wayOf: WayOf): Promise<AskablePath[]> {
  const { folders, probe } = scene.context;
  const found = await Promise.all(
    built.ways.map(async (way) => ({ via: way.via, disk: await diskOf(scene, way, wayOf) })),
  );
  const own = found.flatMap(({ via, disk }) => (disk === undefined ? [] : [{ via, device: disk.device }]));
  const map = built.map === null ? undefined : await mapOf(folders, built.map.wwid);
  const others = (map?.disks ?? [])
    .map((name) => join(folders.dev, name))
    .filter((device) => !own.some((one) => one.device === device))
    .map((device) => ({ via: `${device}, which is in map ${map?.name}`, device }));
  return [...own, ...others].map((path) => ({ ...path, ask: () => probe.scsiIdentity(path.device) }));
}

const resizeLimitMs = 15_000;

/** Brings the map to the size of its paths, which have been looked at again just before. */
export async function grow(scene: Scene, built: ScsiBuilt, seen: Observation): Promise<Observation> {
  const { context } = scene;
  const map = built.map === null ? undefined : await mapOf(context.folders, built.map.wwid);
  const sizes = [...new Set(seen.paths.flatMap(({ identity }) => identity?.sizeBytes ?? []))];
  const [wanted, ...others] = sizes;
  if (map === undefined || wanted === undefined || seen.identity.sizeBytes === wanted) return seen;
  const silent = seen.paths.filter(({ identity }) => identity === null);
  if (others.length > 0 || silent.length > 0) {
    context.note(`map ${map.name} keeps its size: not all of its paths show the new one`);
    return seen;
  }
  const refused = await resizeMap(context, map.name);
  const look = async () => {
    const size = await context.probe.size(map.device);
    return size.sizeBytes === wanted ? size : undefined;
  };
  const size = await until(scene, look, { limitMs: refused === undefined ? resizeLimitMs : 0, everyMs: 200 });
  if (size === undefined) {
    throw new Fault(
      'DEVICE_FAILED',
      `Cannot resize the map of "${scene.what}": ${refused ?? 'it kept its size'}`,
    );
  }
  return { ...seen, identity: { ...seen.identity, ...size } };
}
