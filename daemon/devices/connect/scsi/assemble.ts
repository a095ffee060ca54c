/** Makes one device of the ways that came up: checks that they lead to one volume, puts them into a map, and holds the result against
 *  what the operator wants.
 *    outcomes ▶ fresh identity of each ▶ one volume? ▶ map or single ▶ enough paths? ▶ Observation
 *  Promises: nothing is handed out that was not asked who it is; why a way is missing is said. */

import type { DeviceIdentity, Observation } from '../connector.ts';
import { claims, knownWwids, whyNot } from '../multipath/client.ts';
import { checkForeign, isOfOwnDisks, joinMap, type Member } from '../multipath/join.ts';
import { type MultipathMap, mapOver } from '../multipath/maps.ts';
import { together } from '../remedies.ts';
import { attachDenied, attachFailed, multipathMissing } from '../trouble.ts';
import { isReached, type Outcome, type Reached, type Trouble, troubleOf } from './bring.ts';
import type { Ledger, MapBuilt, ScsiBuilt } from './built.ts';
import { checkOne, identify } from './identify.ts';
import { observation, type Seen } from './look.ts';
import { rest, type Scene, until } from './scene.ts';

export interface Wanted {
  readonly multipath: boolean;
  /** Fail rather than go on with a single path. */
  readonly enforce: boolean;
  /** WWIDs that multipath knew before anything was made. */
  readonly wwids: readonly string[];
}

/** Before anything is made; MULTIPATH_MISSING where that is known by then. `enforce`: of the connection; null: as the settings say. */
export async function wantedOf({ context, what }: Scene, enforce: boolean | null): Promise<Wanted> {
  const { multipath, enforceMultipath } = context.policy;
  const enforced = multipath && (enforce ?? enforceMultipath);
  const missing = enforced ? await whyNot(context) : undefined;
  if (missing !== undefined) throw multipathMissing(what, missing.why, missing.remedy);
  return { multipath, enforce: enforced, wwids: await knownWwids(context) };
}

const told = (troubles: readonly Trouble[]): string =>
  troubles.map(({ via, why }) => `${via}: ${why}`).join('; ');

/** The fault of an attach with too few ways. */
export function tooFew(what: string, works: number, min: number, troubles: readonly Trouble[]): Error {
  if (works === 0 && troubles.some(({ denied }) => denied)) return attachDenied(what, told(troubles));
  const paths = troubles.map(({ via, why }) => `${via}: ${why}`);
  const remedy = together(troubles.map((one) => one.remedy));
  if (works === 0) return attachFailed(what, told(troubles) || 'no path to it is known', { paths }, remedy);
  const rest = troubles.length === 0 ? '' : ` (${told(troubles)})`;
  const why = `${works} of its paths work, and at least ${min} are wanted${rest}`;
  return attachFailed(what, why, { paths }, remedy);
}

async function askAll(
  scene: Scene,
  { ways }: ScsiBuilt,
  reached: readonly Reached[],
): Promise<(Member | Trouble)[]> {
  return Promise.all(
    reached.map(async ({ via, disk }) => {
      try {
        const made = ways.some((way) => way.via === via && way.made);
        return { via, disk, made, identity: await identify(scene, disk) };
      } catch (thrown) {
        return troubleOf(via, thrown);
      }
    }),
  );
}

async function mapFor<T extends ScsiBuilt>(
  scene: Scene,
  ledger: Ledger<T>,
  members: readonly Member[],
  wanted: Wanted,
): Promise<MultipathMap | undefined> {
  const { context, what } = scene;
  if (!wanted.multipath) return mapByItself(scene, ledger, members, wanted.wwids);
  const min = Math.max(1, context.policy.pathsMin);
  const missing = await whyNot(context);
  // Of an earlier look: what was made by this attachment is its own still.
  const { map: earlier } = ledger.value;
  const begin = (map: MapBuilt) =>
    ledger.change((value) => ({ ...value, map: earlier?.wwid === map.wwid ? earlier : map }));
  const map = missing ?? (await joinMap(scene, members, wanted.wwids, begin));
  if (!('why' in map)) {
    const outside = members.filter(({ disk }) => !map.disks.includes(disk.name));
    const troubles = outside.map(({ via }) => ({ via, why: `it is not in map ${map.name}`, denied: false }));
    const inside = members.length - outside.length;
    if (inside < min) throw tooFew(what, inside, min, troubles);
    return map;
  }
  const { why, remedy } = map;
  if (wanted.enforce || min > 1)
    throw multipathMissing(
      what,
      wanted.enforce ? why : `${why}, and at least ${min} paths are wanted`,
      remedy,
    );
  context.note(`going on with one path: ${why}`);
  return mapByItself(scene, ledger, members, wanted.wwids);
}

const byItselfLimitMs = 10_000;

/** The map that comes up over a disk although none was asked for: the disk can be used through it only. One that stands on disks of our
 *  making alone goes with them. */
async function mapByItself<T extends ScsiBuilt>(
  scene: Scene,
  ledger: Ledger<T>,
  members: readonly Member[],
  wwids: readonly string[],
): Promise<MultipathMap | undefined> {
  const { context } = scene;
  const look = async () => {
    const maps = await Promise.all(members.map(({ disk }) => mapOver(context.folders, disk)));
    return maps.find((map) => map !== undefined);
  };
  let map = await look();
  for (const { disk } of members) {
    if (map !== undefined || !(await claims(context, disk.name))) continue;
    context.note(`multipath takes ${disk.device} by itself: waiting for its map`);
    map = await until(scene, look, { limitMs: byItselfLimitMs, everyMs: 200 });
  }
  if (map !== undefined) await checkForeign(scene, map, members);
  if (map === undefined || ledger.value.map !== null) return map;
  const { wwid } = map;
  if (isOfOwnDisks(map, members))
    await ledger.change((value) => ({
      ...value,
      map: { wwid, made: true, added: !wwids.includes(wwid) },
    }));
  return map;
}

/** A device of our making that is only read from is made read-only; that it can't be does no harm. */
async function guard(scene: Scene, { device }: Observation, made: boolean): Promise<void> {
  if (!made || scene.context.access !== 'read') return;
  const { status, complaint } = await scene.context.tools.run('blockdev', ['--setro', device]);
  if (status !== 0) scene.context.note(`"${device}" stays writable: ${complaint}`);
}

function checkSizes(scene: Scene, members: readonly Member[]): void {
  const shown = members.map(({ via, identity }) => `${via}: ${identity.sizeBytes} bytes`);
  const [first] = members;
  const differs = ({ identity }: { identity: DeviceIdentity }) =>
    first !== undefined &&
    (identity.sizeBytes !== first.identity.sizeBytes || identity.blockBytes !== first.identity.blockBytes);
  if (members.some(differs))
    throw attachFailed(scene.what, `its paths differ in size: ${shown.join('; ')}`, { paths: shown });
}

export async function assemble<T extends ScsiBuilt>(
  scene: Scene,
  ledger: Ledger<T>,
  outcomes: readonly Outcome[],
  wanted: Wanted,
): Promise<Observation> {
  const { context, what } = scene;
  const asked = await askAll(scene, ledger.value, outcomes.filter(isReached));
  const members = asked.filter((one): one is Member => 'disk' in one);
  const troubles = [...outcomes, ...asked].filter((one): one is Trouble => 'why' in one);
  for (const { via, why } of troubles) context.note(`${via}: ${why}`);
  checkOne(what, members, ledger.value.identity);
  const min = Math.max(1, wanted.multipath ? context.policy.pathsMin : 1);
  if (members.length < min) throw tooFew(what, members.length, min, troubles);
  checkSizes(scene, members);
  const [first] = members;
  if (first !== undefined) {
    const { names, serial } = first.identity;
    await ledger.change((value) => ({ ...value, identity: { names, serial } }));
  }
  await rest(scene, 0);
  const map = await mapFor(scene, ledger, members, wanted);
  const missing: Seen[] = troubles.map(({ via }) => {
    const disk = outcomes.filter(isReached).find((one) => one.via === via)?.disk;
    return { via, disk, identity: null };
  });
  const seen = await observation(scene, [...members, ...missing], map);
  const { value } = ledger;
  await guard(
    scene,
    seen,
    map === undefined ? value.ways.some(({ made }) => made) : value.map?.made === true,
  );
  return seen;
}
