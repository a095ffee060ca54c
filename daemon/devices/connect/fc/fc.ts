/** Volumes of Fibre Channel storages.
 *    our ports × ports of the storage ─exact scan▶ disks ─one volume?▶ map ▶ device
 *  Promises: those of connector.ts. There are no sessions to make or to end: what is built is disks and a map. All targets of a port are
 *  scanned only where that was asked for, as it brings in units of others. */

import { join } from 'node:path';
import type { Attached, ConnectContext, Connection, Connector, Json, SystemFolders } from '../connector.ts';
import { assemble, wantedOf } from '../scsi/assemble.ts';
import { bring, isReached, type Outcome } from '../scsi/bring.ts';
import {
  bootId,
  type JsonMap,
  Ledger,
  readScsiBuilt,
  type ScsiBuilt,
  textOf,
  type WayBuilt,
} from '../scsi/built.ts';
import { addressesOf, addressText, diskAt, isThere, type ScsiDisk } from '../scsi/disks.ts';
import { holdersOn, usersOf } from '../scsi/holders.ts';
import { release, type WayOf } from '../scsi/release.ts';
import { removeDisk } from '../scsi/remove.ts';
import { type Scene, sceneOf } from '../scsi/scene.ts';
import { askable, grow, observe } from '../scsi/watch.ts';
import { attachFailed } from '../trouble.ts';
import { type FcConnection, type FcTarget, format, key, load, parseInfo, parseUrl } from './connection.ts';
import { type HostPort, hostPorts, targetPort } from './ports.ts';

/** One of our ports and one of the storage. */
interface Pair {
  readonly initiator: string;
  readonly wwpn: string;
  readonly lun: number;
}

const viaOf = ({ initiator, wwpn, lun }: Pair): string => `${initiator} to ${wwpn} lun ${lun}`;
const placeOf = ({ initiator, wwpn, lun }: Pair): JsonMap => ({ initiator, wwpn, lun });
const numberOf = (value: Json | undefined): number => (typeof value === 'number' ? value : -1);

/** Hosts are numbered anew by every load of a driver: ours are told by their names. `alsoLost`: disks stand behind a port that has left
 *  the fabric for a while, and work again when it returns. */
const wayTo =
  (scene: Scene, alsoLost = false): WayOf =>
  ({ place, via }) => ({
    via,
    returns: true,
    address: async () => {
      const { folders } = scene.context;
      const ports = await hostPorts(folders);
      const own = ports.find(({ wwpn }) => wwpn === textOf(place['initiator']));
      const port = own && (await targetPort(folders, own.host, textOf(place['wwpn']), alsoLost));
      return port === undefined ? undefined : { ...port, lun: numberOf(place['lun']) };
    },
  });

/** Without a map: the ports of ours that have ever seen the target, so that one of another fabric is not taken for a path that is lost;
 *  where none has, all that are up. */
async function portsFor(
  folders: SystemFolders,
  ports: readonly HostPort[],
  { wwpn, initiators }: FcTarget,
): Promise<readonly HostPort[]> {
  if (initiators.length > 0) return ports.filter((port) => initiators.includes(port.wwpn));
  const known = await Promise.all(ports.map(({ host }) => targetPort(folders, host, wwpn, true)));
  const seeing = ports.filter((_port, at) => known[at] !== undefined);
  return seeing.length > 0 ? seeing : ports.filter(({ online }) => online);
}

async function pairsOf(
  folders: SystemFolders,
  ports: readonly HostPort[],
  { targets }: FcConnection,
): Promise<Pair[]> {
  const all = targets.map(async (target) =>
    (await portsFor(folders, ports, target)).map((port) => ({
      initiator: port.wwpn,
      wwpn: target.wwpn,
      lun: target.lun,
    })),
  );
  return (await Promise.all(all)).flat();
}

const isUsed = async (scene: Scene, { folder }: ScsiDisk): Promise<boolean> =>
  (await holdersOn(scene, folder)).length > 0 || (await usersOf(scene, folder)).length > 0;

/** A disk that was there and did not answer is somebody else's still. */
async function wayBefore(scene: Scene, ledger: Ledger<ScsiBuilt>, pair: Pair): Promise<WayBuilt> {
  const [place, via] = [placeOf(pair), viaOf(pair)];
  const known = ledger.value.ways.find((one) => one.via === via);
  if (known !== undefined) return known;
  const way = { place, via, made: true, sequence: null };
  const address = await wayTo(scene, true)(way).address();
  const there = address !== undefined && (await isThere(scene.context.folders, address));
  return { ...way, made: !there };
}

/** Every target of the ports that may use the volume and see none of its own is asked for the number; units that come in with it and are
 *  not of this volume are taken away again. What will appear of it is in the journal before. */
async function scanAll(
  scene: Scene,
  ledger: Ledger<ScsiBuilt>,
  ports: readonly HostPort[],
  pairs: readonly Pair[],
): Promise<void> {
  const { context } = scene;
  const { folders, probe } = context;
  const ways = await Promise.all(pairs.map((pair) => wayBefore(scene, ledger, pair)));
  await ledger.change((value) => ({ ...value, ways }));
  for (const { host, wwpn } of ports) {
    const own = pairs.filter(({ initiator }) => initiator === wwpn);
    const seen = await Promise.all(own.map((pair) => targetPort(folders, host, pair.wwpn)));
    // Where a target is known only what is asked for is scanned.
    if (own.length === 0 || seen.some((target) => target !== undefined)) continue;
    const numbers = new Set(own.map((pair) => pair.lun));
    const before = new Set((await addressesOf(folders, host)).map(addressText));
    for (const lun of numbers) {
      context.note(`host${host}: scanning all targets for unit ${lun}`);
      await probe.order(join(folders.sys, 'class/scsi_host', `host${host}`, 'scan'), `- - ${lun}`);
    }
    const wanted = await Promise.all(ways.map((way) => wayTo(scene)(way).address()));
    const ours = new Set(wanted.flatMap((address) => (address === undefined ? [] : [addressText(address)])));
    for (const address of await addressesOf(folders, host)) {
      if (before.has(addressText(address)) || ours.has(addressText(address))) continue;
      // What another agent has brought in meanwhile is his.
      if (!numbers.has(address.lun)) continue;
      const disk = await diskAt(folders, address);
      if (disk !== undefined && (await isUsed(scene, disk))) continue;
      context.note(`${addressText(address)} came in with the scan, and is taken away`);
      if (disk !== undefined) await removeDisk(scene, disk);
    }
  }
}

async function reachAll(
  scene: Scene,
  ledger: Ledger<ScsiBuilt>,
  pairs: readonly Pair[],
  several: boolean,
): Promise<Outcome[]> {
  const reach = (pair: Pair) => {
    const [place, via] = [placeOf(pair), viaOf(pair)];
    const way = wayTo(scene)({ place, via, made: false, sequence: null });
    return scene.context.alone(`fc ${via}`, () => bring(scene, ledger, way, place));
  };
  if (several) {
    const settled = await Promise.allSettled(pairs.map(reach));
    return settled.map((one) => {
      if (one.status === 'rejected') throw one.reason;
      return one.value;
    });
  }
  const outcomes: Outcome[] = [];
  for (const pair of pairs) {
    const outcome = await reach(pair);
    outcomes.push(outcome);
    if (isReached(outcome)) break;
  }
  return outcomes;
}

async function attachWith(
  connection: Connection,
  context: ConnectContext,
  earlier: ScsiBuilt | undefined,
): Promise<{ seen: Attached; scene: Scene }> {
  const scene = sceneOf(context, format(connection));
  const asked = load(connection);
  const wanted = await wantedOf(scene, asked.enforceMultipath);
  const empty = { boot: await bootId(), ways: [], map: null, identity: null };
  const ledger = new Ledger<ScsiBuilt>(context, earlier ?? empty);
  const ports = await hostPorts(context.folders);
  const up = ports.filter(({ online }) => online);
  if (up.length === 0) throw attachFailed(scene.what, 'no Fibre Channel port of this host is online');
  const pairs = await pairsOf(context.folders, ports, asked);
  if (pairs.length === 0)
    throw attachFailed(scene.what, 'no port of this host is among those that are mapped to it');
  let outcomes = await reachAll(scene, ledger, pairs, wanted.multipath);
  if (asked.wildcard && !outcomes.some(isReached)) {
    await scanAll(scene, ledger, up, pairs);
    outcomes = await reachAll(scene, ledger, pairs, wanted.multipath);
  }
  const seen = await assemble(scene, ledger, outcomes, wanted);
  return { seen: { ...seen, built: ledger.value }, scene };
}

export const fc: Connector = {
  kind: 'fc',
  driverTypes: ['fibre_channel'],
  summary: 'A volume of a Fibre Channel storage, by the names of its ports',
  example: 'fc://500a098280feeba5,500a098290feeba5/1',
  needs: ['multipath-tools', 'dmsetup'],
  parseUrl,
  parseInfo,
  format,
  key,
  attach: async (connection, context) => (await attachWith(connection, context, undefined)).seen,
  observe: (connection, built, context) => {
    const scene = sceneOf(context, format(connection));
    return observe(scene, readScsiBuilt(built), wayTo(scene));
  },
  paths: (connection, built, context) => {
    const scene = sceneOf(context, format(connection));
    return askable(scene, readScsiBuilt(built), wayTo(scene));
  },
  rescan: async (connection, built, context) => {
    const { seen, scene } = await attachWith(connection, context, readScsiBuilt(built));
    const read = readScsiBuilt(seen.built);
    return { ...(await grow(scene, read, seen)), built: read };
  },
  detach: (connection, built, context) => {
    const scene = sceneOf(context, format(connection));
    return release(scene, readScsiBuilt(built), wayTo(scene, true));
  },
};
