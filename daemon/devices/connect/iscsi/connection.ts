/** An iSCSI connection: targets and portals, from a URL of ours or from Cinder's connection_info. Pure.
 *    iscsi://PORTAL[:PORT][,PORTAL…]/IQN/LUN[?user=…&password=…&discover=yes&addressing=SAM2]
 *  Promises: what comes out is fit to be a word of a program and a part of a path; a URL that goes out has no secret in it. */

import { Fault } from '../../../base/faults.ts';
import type { Connection, Json } from '../connector.ts';
import { isMap, listOf, textOf } from '../scsi/built.ts';
import { readLun } from '../scsi/lun.ts';

export interface Portal {
  readonly portal: string;
  readonly iqn: string;
  /** As the kernel numbers it. */
  readonly lun: number;
}

export interface Chap {
  readonly user: string;
  /** Empty: not known, as in a URL that we wrote. */
  readonly password: string;
}

export interface IscsiConnection {
  readonly portals: readonly Portal[];
  /** Ask the first portal for the others of its target. */
  readonly discover: boolean;
  readonly chap: Chap | null;
  readonly discoveryChap: Chap | null;
  /** Null: as the settings say. */
  readonly enforceMultipath: boolean | null;
}

const portalsMax = 32;
const portDefault = 3260;

const refuse = (what: string, why: string): Fault =>
  new Fault('INVALID_ARGUMENT', `Cannot use ${what}: ${why}`, {
    hint: 'An example: iscsi://192.0.2.10,192.0.2.11/iqn.2026-01.example:disk/1',
  });

/** "10.0.0.2:3260", "[fd00::1]:3260", as open-iscsi and the kernel write them. */
export function readPortal(text: string): string {
  const [, six, name, port = String(portDefault)] =
    /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9A-Za-z](?:[0-9A-Za-z.-]{0,252})))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const number = Number(port);
  if ((six === undefined && name === undefined) || number < 1 || number > 65_535)
    throw refuse(`"${text.slice(0, 80)}" as a portal`, 'it is no address with an optional port');
  if (six === undefined) return `${name?.toLowerCase()}:${number}`;
  // The short form, as the kernel shows it.
  if (!URL.canParse(`http://[${six}]/`)) throw refuse(`"${text}" as a portal`, 'it is no IPv6 address');
  return `${new URL(`http://[${six}]/`).hostname}:${number}`;
}

/** They become names of folders below /etc/iscsi. */
export function readIqn(text: string): string {
  const name = text.toLowerCase();
  if (/^(iqn\.\d{4}-\d{2}\.|eui\.|naa\.)[a-z0-9.:_+@=,-]{1,210}$/.test(name)) return name;
  throw refuse(
    `"${text.slice(0, 80)}" as the name of a target`,
    'it is none, such as iqn.2026-01.example:disk',
  );
}

/** They become lines of a file of settings. */
export function readChap(user: unknown, password: unknown): Chap | null {
  if (user === undefined || user === null || user === '') return null;
  const fits = (text: unknown): text is string =>
    typeof text === 'string' && /^[!-~](?:[ -~]{0,253}[!-~])?$/.test(text);
  if (!fits(user))
    throw refuse('the user name of CHAP', 'it is longer than 255 letters, or has others than ASCII');
  if (password === undefined || password === '') return { user, password: '' };
  if (!fits(password))
    throw refuse('the password of CHAP', 'it is longer than 255 letters, or has others than ASCII');
  return { user, password };
}

/** Whether who shows `asked` may have what was opened with `held`: whatever nobody asked a secret for, and else for the same one. */
export const opens = (held: Chap | null, asked: Chap | null): boolean =>
  held === null || (held.password !== '' && held.user === asked?.user && held.password === asked.password);

function readSaved(value: Json | undefined): Chap | null {
  return isMap(value) ? readChap(value['user'], value['password']) : null;
}

/** As a value that can be kept. */
export const save = (connection: IscsiConnection): Connection => ({
  portals: connection.portals.map(({ portal, iqn, lun }) => ({ portal, iqn, lun })),
  discover: connection.discover,
  chap: connection.chap === null ? null : { ...connection.chap },
  discovery_chap: connection.discoveryChap === null ? null : { ...connection.discoveryChap },
  enforce_multipath: connection.enforceMultipath,
});

/** As `save`, after all checks of `load`. */
export const checked = (connection: IscsiConnection): Connection => save(load(save(connection)));

export function load(value: Connection): IscsiConnection {
  const all = listOf(value['portals']).flatMap((one) =>
    isMap(one)
      ? [
          {
            portal: readPortal(textOf(one['portal'])),
            iqn: readIqn(textOf(one['iqn'])),
            lun: readLun(one['lun']),
          },
        ]
      : [],
  );
  // One that is named twice is one path.
  const portals = all.filter(
    (one, at) => all.findIndex((other) => other.portal === one.portal && other.iqn === one.iqn) === at,
  );
  if (portals.length === 0 || portals.length > portalsMax)
    throw refuse('a connection', `it has ${portals.length} portals`);
  const enforce = value['enforce_multipath'];
  return {
    portals,
    discover: value['discover'] === true,
    chap: readSaved(value['chap']),
    discoveryChap: readSaved(value['discovery_chap']),
    enforceMultipath: typeof enforce === 'boolean' ? enforce : null,
  };
}
