/** Reads the two ways of writing an iSCSI connection, and writes the one that people read. Pure.
 *  Promises: as in connection.ts; positions of Cinder's lists belong together, and lists of different lengths are refused. */

import { Fault } from '../../../base/faults.ts';
import type { Connection } from '../connector.ts';
import { isMap } from '../scsi/built.ts';
import { addressingOf, kernelLun, readLun, shownLun } from '../scsi/lun.ts';
import { checked, load, type Portal, readChap, readIqn, readPortal } from './connection.ts';

const refuse = (what: string, why: string): Fault =>
  new Fault('INVALID_ARGUMENT', `Cannot use ${what}: ${why}`, {
    hint: 'An example: iscsi://192.0.2.10,192.0.2.11/iqn.2026-01.example:disk/1',
  });

const parameters = new Set([
  'user',
  'password',
  'discovery_user',
  'discovery_password',
  'discover',
  'addressing',
]);

function yes(text: string): boolean {
  if (text === 'yes' || text === 'no') return text === 'yes';
  throw refuse('"discover" of the URL', 'it is "yes" or "no"');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refuse('the URL', 'a "%" is followed by two hexadecimal digits (write "%" as "%25")');
  }
}

/** `+` stays what it is: passwords have it. */
function queryOf(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const pair of text.split('&').filter(Boolean)) {
    const [name = '', ...rest] = pair.split('=');
    if (!parameters.has(name)) throw refuse('the URL', `its parameter "${name.slice(0, 40)}" is unknown`);
    found.set(name, decoded(rest.join('=')));
  }
  return found;
}

export function parseUrl(text: string): Connection {
  const [, portals, name, lun, query = ''] =
    /^iscsi:\/\/([^/?#@]+)\/([^/?#]+)\/(\d+)(?:\?([^#]*))?$/i.exec(text) ?? [];
  if (portals === undefined || name === undefined)
    throw refuse('the URL', 'it is not of the form iscsi://PORTAL[,PORTAL…]/IQN/LUN');
  const more = queryOf(query);
  const iqn = readIqn(decoded(name));
  const number = kernelLun(readLun(lun), more.get('addressing') ?? 'SAM');
  return checked({
    portals: portals.split(',').map((portal) => ({ portal: readPortal(portal), iqn, lun: number })),
    discover: yes(more.get('discover') ?? 'no'),
    chap: readChap(more.get('user'), more.get('password')),
    discoveryChap: readChap(more.get('discovery_user'), more.get('discovery_password')),
    enforceMultipath: null,
  });
}

const lists = (value: unknown): readonly unknown[] | undefined =>
  Array.isArray(value) && value.length > 0 ? value : undefined;

function pathsOf(data: Readonly<Record<string, unknown>>, addressing: string): Portal[] {
  const portals = lists(data['target_portals']);
  const iqns = lists(data['target_iqns']);
  const one = { portal: data['target_portal'], iqn: data['target_iqn'], lun: data['target_lun'] };
  const luns = lists(data['target_luns']) ?? portals?.map(() => one.lun);
  const all =
    portals === undefined || iqns === undefined
      ? [one]
      : portals.map((portal, at) => ({ portal, iqn: iqns[at], lun: luns?.[at] }));
  if (
    portals !== undefined &&
    iqns !== undefined &&
    (iqns.length !== all.length || luns?.length !== all.length)
  )
    throw refuse('the connection_info', 'its target_portals, target_iqns and target_luns differ in length');
  const [first] = all;
  if (first?.portal === undefined || first.iqn === undefined)
    throw refuse(
      'the connection_info',
      `it has no ${first?.portal === undefined ? 'target_portal' : 'target_iqn'}`,
    );
  return all.map(({ portal, iqn, lun }) => ({
    portal: readPortal(String(portal)),
    iqn: readIqn(String(iqn)),
    lun: kernelLun(readLun(lun), addressing),
  }));
}

export function parseInfo(data: unknown): Connection {
  if (!isMap(data)) throw refuse('the connection_info', 'its "data" is not an object');
  const info: Readonly<Record<string, unknown>> = data;
  const method = (typeof info['auth_method'] === 'string' ? info['auth_method'] : 'CHAP').toUpperCase();
  if (method !== 'CHAP' && method !== 'NONE')
    throw refuse('the connection_info', `its auth_method is "${method.slice(0, 20)}", not CHAP`);
  const portals = pathsOf(info, addressingOf(info['addressing_mode']));
  const enforce = info['enforce_multipath'];
  return checked({
    portals,
    discover: lists(info['target_portals']) === undefined || lists(info['target_iqns']) === undefined,
    chap: method === 'NONE' ? null : readChap(info['auth_username'], info['auth_password']),
    discoveryChap: readChap(info['discovery_auth_username'], info['discovery_auth_password']),
    enforceMultipath: typeof enforce === 'boolean' ? enforce : null,
  });
}

/** Paths to different targets are written as those of the first: a URL is for people and for the catalog's key. */
export function format(connection: Connection): string {
  const { portals, discover, chap } = load(connection);
  const [first] = portals;
  if (first === undefined) return 'iscsi:';
  const same = portals.filter(({ iqn, lun }) => iqn === first.iqn && lun === first.lun);
  const { lun, addressing } = shownLun(first.lun);
  const query = [
    ...(chap === null ? [] : [`user=${encodeURIComponent(chap.user)}`]),
    ...(discover ? ['discover=yes'] : []),
    ...(addressing === null ? [] : [`addressing=${addressing}`]),
  ];
  const where = same.map(({ portal }) => portal).join(',');
  return `iscsi://${where}/${first.iqn}/${lun}${query.length === 0 ? '' : `?${query.join('&')}`}`;
}

/** Targets and numbers, whichever portals lead there: a name of a target is unique in the world. */
export function key(connection: Connection): string {
  const targets = load(connection).portals.map(({ iqn, lun }) => `${iqn}/${lun}`);
  return [...new Set(targets)].sort().join(' ');
}
