/** Volumes of iSCSI targets.
 *    portals ─each on its own: log in, scan for the one number▶ disks ─one volume?▶ map ▶ device
 *  Promises: those of connector.ts. A portal that does not work keeps nobody from the others; a session is left as it was found, and one
 *  of ours ends with the last disk on it. A crash between a discovery and the journal leaves at most a record that logs in nowhere. */

import type { Attached, ConnectContext, Connection, Connector } from '../connector.ts';
import { assemble, wantedOf } from '../scsi/assemble.ts';
import { bring, isReached, NoWay, type Outcome, troubleOf } from '../scsi/bring.ts';
import { bootId, Ledger } from '../scsi/built.ts';
import { passWrongDevice } from '../scsi/identify.ts';
import { release, sameBoot, type WayOf } from '../scsi/release.ts';
import { type Scene, sceneOf, until } from '../scsi/scene.ts';
import { askable, grow, observe } from '../scsi/watch.ts';
import { type IscsiBuilt, placeOf, portalOf, readIscsiBuilt, viaOf } from './built.ts';
import { load, opens, type Portal } from './connection.ts';
import { discover } from './discover.ts';
import { leftovers } from './leftovers.ts';
import { type LoginParts, login, portalKey } from './login.ts';
import { leaveSession } from './logout.ts';
import { format, key, parseInfo, parseUrl } from './parse.ts';
import { addressOn, type Session, sessionOf, sessionsTo } from './sessions.ts';

/** A session that has lost its portal is waited for so long. */
const returnLimitMs = 5_000;

async function up(scene: Scene, to: Portal, session: Session): Promise<Session> {
  const look = async () => {
    const all = await sessionsTo(scene.context.folders, to.portal, to.iqn);
    return all.find(({ sid, state }) => sid === session.sid && state === 'LOGGED_IN');
  };
  const found = await until(scene, look, { limitMs: returnLimitMs });
  if (found === undefined) throw new NoWay(`session ${session.sid} has lost its portal`);
  return found;
}

/** From the session to the disk under one key: nobody ends a session that we are about to use. */
async function reach(parts: LoginParts, to: Portal): Promise<Outcome> {
  const { scene, ledger } = parts;
  const via = viaOf(to);
  try {
    return await scene.context.alone(portalKey(to), async () => {
      const session = await up(scene, to, await login(parts, to));
      const address = () => addressOn(scene.context.folders, session, to.lun);
      return bring(scene, ledger, { via, address }, placeOf(to));
    });
  } catch (thrown) {
    scene.context.signal.throwIfAborted();
    ledger.requireWhole();
    passWrongDevice(thrown);
    return troubleOf(via, thrown);
  }
}

async function reachAll(parts: LoginParts, portals: readonly Portal[]): Promise<Outcome[]> {
  if (!parts.several) {
    const outcomes: Outcome[] = [];
    for (const to of portals) {
      const outcome = await reach(parts, to);
      outcomes.push(outcome);
      if (isReached(outcome)) break;
    }
    return outcomes;
  }
  // All are waited for, also when one finds a wrong device: what is under way must be in the journal.
  const settled = await Promise.allSettled(portals.map((to) => reach(parts, to)));
  return settled.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

async function attach(connection: Connection, context: ConnectContext): Promise<Attached> {
  const scene = sceneOf(context, format(connection));
  const asked = load(connection);
  const wanted = await wantedOf(scene, asked.enforceMultipath);
  const empty = { boot: await bootId(), ways: [], map: null, identity: null, sessions: [] };
  const ledger = new Ledger<IscsiBuilt>(context, empty);
  const [first] = asked.portals;
  const alone = wanted.multipath && asked.discover && first !== undefined;
  const portals = alone ? await discover(scene, first, asked.discoveryChap) : asked.portals;
  const parts = { scene, ledger, chap: asked.chap, several: wanted.multipath };
  const outcomes = await reachAll(parts, portals);
  const seen = await assemble(scene, ledger, outcomes, wanted);
  return { ...seen, built: ledger.value };
}

/** Where a way is now: on the session that it was made on. */
const wayOf =
  (scene: Scene, built: IscsiBuilt): WayOf =>
  ({ place, via }) => ({
    via,
    address: async () => {
      const to = portalOf(place);
      const entry = built.sessions.find(({ portal, iqn }) => portal === to.portal && iqn === to.iqn);
      const { folders } = scene.context;
      const sid = entry?.sid ?? undefined;
      const session = sid === undefined ? undefined : await sessionOf(folders, sid);
      if (session === undefined || session.portal !== to.portal || session.iqn !== to.iqn) return undefined;
      return addressOn(folders, session, to.lun);
    },
  });

async function rescan(
  connection: Connection,
  journaled: IscsiBuilt,
  context: ConnectContext,
): Promise<Attached> {
  const scene = sceneOf(context, format(connection));
  const asked = load(connection);
  const wanted = await wantedOf(scene, asked.enforceMultipath);
  const ledger = new Ledger<IscsiBuilt>(context, journaled);
  const known = journaled.ways.map(({ place }) => portalOf(place));
  const others = asked.portals.filter((to) => !known.some((one) => viaOf(one) === viaOf(to)));
  const portals = wanted.multipath ? [...known, ...others] : known;
  const parts = { scene, ledger, chap: asked.chap, several: wanted.multipath };
  const seen = await assemble(scene, ledger, await reachAll(parts, portals), wanted);
  const grown = await grow(scene, ledger.value, seen);
  return { ...grown, built: ledger.value };
}

async function detach(connection: Connection, built: IscsiBuilt, context: ConnectContext): Promise<void> {
  const scene = sceneOf(context, format(connection));
  await release(scene, built, wayOf(scene, built));
  const alive = await sameBoot(built);
  for (const entry of built.sessions) await leaveSession(scene, entry, alive);
}

export const iscsi: Connector = {
  kind: 'iscsi',
  driverTypes: ['iscsi'],
  summary: 'A volume of an iSCSI target, over one portal or several',
  example: 'iscsi://192.0.2.10,192.0.2.11/iqn.2026-01.example:disk/1',
  needs: ['open-iscsi', 'multipath-tools', 'dmsetup'],
  parseUrl,
  parseInfo,
  format,
  key,
  admits: (held, asked) => opens(load(held).chap, load(asked).chap),
  attach,
  observe: (connection, built, context) => {
    const scene = sceneOf(context, format(connection));
    const read = readIscsiBuilt(built);
    return observe(scene, read, wayOf(scene, read));
  },
  paths: (connection, built, context) => {
    const scene = sceneOf(context, format(connection));
    const read = readIscsiBuilt(built);
    return askable(scene, read, wayOf(scene, read));
  },
  rescan: (connection, built, context) => rescan(connection, readIscsiBuilt(built), context),
  detach: (connection, built, context) => detach(connection, readIscsiBuilt(built), context),
  leftovers,
};
