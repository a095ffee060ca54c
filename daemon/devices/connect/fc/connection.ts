/** A Fibre Channel connection: ports of the storage and numbers, from a URL of ours or from Cinder's connection_info. Pure.
 *    fc://WWPN[,WWPN…]/LUN[?map=INITIATOR-TARGET[,…]&wildcard=yes&addressing=SAM2]
 *  Promises: names of ports come out as sixteen small hexadecimal digits, however they were written. */

import { Fault } from '../../../base/faults.ts';
import type { Connection } from '../connector.ts';
import { isMap, listOf, textOf } from '../scsi/built.ts';
import { addressingOf, kernelLun, readLun, shownLun } from '../scsi/lun.ts';

export interface FcTarget {
  readonly wwpn: string;
  /** As the kernel numbers it. */
  readonly lun: number;
  /** Our ports that may use it; empty: all. */
  readonly initiators: readonly string[];
}

export interface FcConnection {
  readonly targets: readonly FcTarget[];
  /** Scan all targets of a port for the number where those that are asked for are not found. */
  readonly wildcard: boolean;
  readonly enforceMultipath: boolean | null;
}

const targetsMax = 64;

const refuse = (what: string, why: string): Fault =>
  new Fault('INVALID_ARGUMENT', `Cannot use ${what}: ${why}`, {
    hint: 'An example: fc://500a098280feeba5,500a098290feeba5/1',
  });

/** "0x500a…", "50:0a:…", "500A…" */
export function readWwpn(text: string): string {
  const digits = text.trim().toLowerCase().replace(/^0x/, '').replaceAll(':', '');
  if (/^[0-9a-f]{16}$/.test(digits)) return digits;
  throw refuse(`"${text.slice(0, 40)}" as the name of a port`, 'it is not of sixteen hexadecimal digits');
}

export const save = ({ targets, wildcard, enforceMultipath }: FcConnection): Connection => ({
  targets: targets.map(({ wwpn, lun, initiators }) => ({ wwpn, lun, initiators: [...initiators] })),
  wildcard,
  enforce_multipath: enforceMultipath,
});

export function load(value: Connection): FcConnection {
  const listed = listOf(value['targets']);
  if (listed.length === 0 || listed.length > targetsMax)
    throw refuse(
      'a connection',
      listed.length === 0 ? 'it has no target_wwn' : `it has ${listed.length} ports`,
    );
  const all = listed.flatMap((one) =>
    isMap(one)
      ? [
          {
            wwpn: readWwpn(textOf(one['wwpn'])),
            lun: readLun(one['lun']),
            initiators: listOf(one['initiators']).map((name) => readWwpn(textOf(name))),
          },
        ]
      : [],
  );
  // One that is named twice is one target.
  const targets = all.filter(
    (one, at) => all.findIndex(({ wwpn, lun }) => wwpn === one.wwpn && lun === one.lun) === at,
  );
  const enforce = value['enforce_multipath'];
  return {
    targets,
    wildcard: value['wildcard'] === true,
    enforceMultipath: typeof enforce === 'boolean' ? enforce : null,
  };
}

const parameters = new Set(['map', 'wildcard', 'addressing']);

export function parseUrl(text: string): Connection {
  const [, ports, lun, query = ''] = /^fc:\/\/([0-9A-Fa-fx:,]+)\/(\d+)(?:\?([^#]*))?$/i.exec(text) ?? [];
  if (ports === undefined) throw refuse('the URL', 'it is not of the form fc://WWPN[,WWPN…]/LUN');
  const pairs = query.split('&').filter(Boolean);
  const more = new Map(pairs.map((pair) => [pair.split('=')[0] ?? '', pair.split('=').slice(1).join('=')]));
  for (const name of more.keys())
    if (!parameters.has(name)) throw refuse('the URL', `its parameter "${name.slice(0, 40)}" is unknown`);
  const wildcard = more.get('wildcard') ?? 'no';
  if (wildcard !== 'yes' && wildcard !== 'no') throw refuse('"wildcard" of the URL', 'it is "yes" or "no"');
  const map = (more.get('map') ?? '').split(',').filter(Boolean);
  const allowed = map.map((pair) => {
    const [initiator = '', target = ''] = pair.split('-');
    return { initiator: readWwpn(initiator), target: readWwpn(target) };
  });
  const number = kernelLun(readLun(lun), more.get('addressing') ?? 'SAM');
  const names = ports.split(',').map(readWwpn);
  // A target without a line in the map would be open to all of our ports, and one that is only in the map is a slip of the pen.
  if (allowed.length > 0) {
    const other = names.find((wwpn) => !allowed.some(({ target }) => target === wwpn));
    if (other !== undefined) throw refuse('"map" of the URL', `it does not have the port "${other}"`);
    const more = allowed.find(({ target }) => !names.includes(target));
    if (more !== undefined)
      throw refuse('"map" of the URL', `the URL does not have its port "${more.target}"`);
  }
  const targets = names.map((wwpn) => {
    const initiators = allowed.filter(({ target }) => target === wwpn).map(({ initiator }) => initiator);
    return { wwpn, lun: number, initiators };
  });
  return save(load(save({ targets, wildcard: wildcard === 'yes', enforceMultipath: null })));
}

const texts = (value: unknown): string[] =>
  (Array.isArray(value) ? value : value === undefined || value === null ? [] : [value]).map(String);

/** Targets of each of our ports; a target that no port of ours is mapped to is used by none. */
function initiatorMap(value: unknown): Map<string, Set<string>> | undefined {
  if (!isMap(value)) return undefined;
  const map = new Map<string, Set<string>>();
  for (const [initiator, targets] of Object.entries(value)) {
    for (const target of texts(targets)) {
      const known = map.get(readWwpn(target)) ?? new Set<string>();
      map.set(readWwpn(target), known.add(readWwpn(initiator)));
    }
  }
  return map.size === 0 ? undefined : map;
}

export function parseInfo(data: unknown): Connection {
  if (!isMap(data)) throw refuse('the connection_info', 'its "data" is not an object');
  const info: Readonly<Record<string, unknown>> = data;
  const plural = texts(info['target_wwns']);
  const ports = plural.length > 0 ? plural : texts(info['target_wwn']);
  const luns =
    Array.isArray(info['target_luns']) && info['target_luns'].length > 0 ? info['target_luns'] : null;
  if (luns !== null && luns.length !== ports.length)
    throw refuse('the connection_info', 'its target_wwns and target_luns differ in length');
  const map = initiatorMap(info['initiator_target_map']);
  const addressing = addressingOf(info['addressing_mode']);
  const targets = ports.map((port, at) => {
    const wwpn = readWwpn(port);
    const lun = kernelLun(readLun(luns === null ? info['target_lun'] : luns[at]), addressing);
    return { wwpn, lun, initiators: map === undefined ? [] : [...(map.get(wwpn) ?? [])] };
  });
  const used = map === undefined ? targets : targets.filter(({ initiators }) => initiators.length > 0);
  const enforce = info['enforce_multipath'];
  return save(
    load(
      save({
        targets: used,
        wildcard: info['enable_wildcard_scan'] === true,
        enforceMultipath: typeof enforce === 'boolean' ? enforce : null,
      }),
    ),
  );
}

/** Numbers that differ between the ports can't be written in a URL: it shows those of the first. */
export function format(connection: Connection): string {
  const { targets, wildcard } = load(connection);
  const [first] = targets;
  if (first === undefined) return 'fc:';
  const same = targets.filter(({ lun }) => lun === first.lun);
  const { lun, addressing } = shownLun(first.lun);
  const map = same.flatMap(({ wwpn, initiators }) => initiators.map((initiator) => `${initiator}-${wwpn}`));
  const query = [
    ...(map.length === 0 ? [] : [`map=${map.join(',')}`]),
    ...(wildcard ? ['wildcard=yes'] : []),
    ...(addressing === null ? [] : [`addressing=${addressing}`]),
  ];
  const ports = same.map(({ wwpn }) => wwpn).join(',');
  return `fc://${ports}/${lun}${query.length === 0 ? '' : `?${query.join('&')}`}`;
}

/** All ports count, ours too: a storage may show different volumes under one number to different ports. Two connections that name
 *  different ports of one volume are two attachments, of which the second finds the disks of the first. */
export function key(connection: Connection): string {
  const targets = load(connection).targets.map(({ wwpn, lun, initiators }) => {
    const ours = [...new Set(initiators)].sort();
    return `${wwpn}/${lun}${ours.length === 0 ? '' : `<${ours.join(',')}`}`;
  });
  return [...new Set(targets)].sort().join(' ');
}
