/** Finds what attachments of a lost catalog have left: records of open-iscsi with our mark, with their sessions and what is on them.
 *  Promises: changes nothing. A record loses our mark when somebody else changes it, as OpenStack does before it shares a session: what
 *  is on a session whose record still has it is of our making. */

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Built, ConnectContext, Leftover } from '../connector.ts';
import { mapOver } from '../multipath/maps.ts';
import { bootId, type MapBuilt, type WayBuilt } from '../scsi/built.ts';
import { addressesOf, diskAt } from '../scsi/disks.ts';
import { placeOf, readIscsiBuilt, type SessionBuilt, viaOf } from './built.ts';
import { readIqn, readPortal, save } from './connection.ts';
import { isOurs, settingOf } from './record-text.ts';
import { nodeFolders } from './records.ts';
import { type Session, sessionsTo } from './sessions.ts';

interface Marked {
  readonly path: string;
  readonly portal: string;
  readonly iqn: string;
}

async function markedIn(path: string): Promise<Marked[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  if (!isOurs(text)) return [];
  const address = settingOf(text, 'node.conn[0].address') ?? '';
  const port = settingOf(text, 'node.conn[0].port') ?? '';
  try {
    const portal = readPortal(address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);
    return [{ path, portal, iqn: readIqn(settingOf(text, 'node.name') ?? '') }];
  } catch {
    return [];
  }
}

async function filesBelow(folder: string, depth: number): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const stats = await stat(path).catch(() => undefined);
    if (stats?.isFile() === true) found.push(path);
    else if (stats?.isDirectory() === true && depth > 0) found.push(...(await filesBelow(path, depth - 1)));
  }
  return found;
}

async function onSession(
  { folders }: ConnectContext,
  marked: Marked,
  session: Session | undefined,
): Promise<{ ways: WayBuilt[]; map: MapBuilt | null; devices: string[] }> {
  const addresses = session === undefined ? [] : await addressesOf(folders, session.host);
  const disks = (await Promise.all(addresses.map((address) => diskAt(folders, address)))).flatMap(
    (disk) => disk ?? [],
  );
  const ways = disks.map(({ address, sequence }) => {
    const to = { portal: marked.portal, iqn: marked.iqn, lun: address.lun };
    return { place: placeOf(to), via: viaOf(to), made: true, sequence };
  });
  const maps = (await Promise.all(disks.map((disk) => mapOver(folders, disk)))).flatMap((map) => map ?? []);
  const [map] = maps;
  const built = map === undefined ? null : { wwid: map.wwid, made: true, added: true };
  return { ways, map: built, devices: disks.map(({ device }) => device) };
}

async function leftoverOf(context: ConnectContext, marked: Marked): Promise<Leftover> {
  const { portal, iqn, path } = marked;
  const session = (await sessionsTo(context.folders, portal, iqn)).at(-1);
  const { ways, map, devices } = await onSession(context, marked, session);
  const entry: SessionBuilt = {
    portal,
    iqn,
    sid: session?.sid ?? null,
    made: true,
    trying: false,
    record: path,
    fresh: false,
  };
  const [first] = ways;
  const lun = typeof first?.place['lun'] === 'number' ? first.place['lun'] : 0;
  const on = devices.length === 0 ? 'without a disk' : `with ${devices.join(', ')}`;
  const what =
    session === undefined
      ? `record of ${iqn} at ${portal}`
      : `session ${session.sid} to ${iqn} at ${portal}, ${on}`;
  const built: Built = { boot: await bootId(), ways, map, identity: null, sessions: [entry] };
  const connection = save({
    portals: [{ portal, iqn, lun }],
    discover: false,
    chap: null,
    discoveryChap: null,
    enforceMultipath: null,
  });
  return { what, connection, built };
}

export async function leftovers(known: readonly Built[], context: ConnectContext): Promise<Leftover[]> {
  const used = known.flatMap((built) => readIscsiBuilt(built).sessions);
  const files = await Promise.all(nodeFolders(context).map((folder) => filesBelow(folder, 2)));
  const marked = (await Promise.all(files.flat().map(markedIn))).flat();
  const own = marked.filter(
    ({ portal, iqn }) => !used.some((entry) => entry.portal === portal && entry.iqn === iqn),
  );
  return Promise.all(own.map((one) => leftoverOf(context, one)));
}
