/** Sessions of the kernel's initiator as sysfs shows them, by their number, which is not used again while the host is up.
 *  Only reads. Source: scsi_transport_iscsi. */

import { join } from 'node:path';
import { namesIn, readText } from '../../block-names.ts';
import type { SystemFolders } from '../connector.ts';
import { addressesOf, hostAbove, type ScsiAddress } from '../scsi/disks.ts';
import { type Chap, readPortal } from './connection.ts';

export interface Session {
  readonly sid: number;
  readonly iqn: string;
  /** As it was logged in to: "10.0.0.2:3260". */
  readonly portal: string;
  /** "LOGGED_IN", "FAILED", "FREE" */
  readonly state: string;
  readonly host: number;
}

function portalOf(address: string, port: string): string {
  try {
    return readPortal(address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);
  } catch {
    return `${address}:${port}`;
  }
}

/** The one of a number: a host may have many, and this is asked once a second for each way. Undefined where it is gone. */
export async function sessionOf({ sys }: SystemFolders, sid: number): Promise<Session | undefined> {
  const folder = join(sys, `class/iscsi_session/session${sid}`);
  const iqn = await readText(join(folder, 'targetname'));
  const host = await hostAbove(join(folder, 'device'));
  const connection = join(sys, 'class/iscsi_connection', `connection${sid}:0`);
  const address = (await readText(join(connection, 'persistent_address'))) ?? '';
  const port = (await readText(join(connection, 'persistent_port'))) ?? '';
  if (!Number.isSafeInteger(sid) || iqn === undefined || host === undefined) return undefined;
  const state = (await readText(join(folder, 'state'))) ?? 'unknown';
  return { sid, iqn: iqn.toLowerCase(), portal: portalOf(address, port), state, host };
}

export async function sessions(folders: SystemFolders): Promise<Session[]> {
  const names = await namesIn(join(folders.sys, 'class/iscsi_session'));
  const all = await Promise.all(
    names.map((name) => sessionOf(folders, Number(name.slice('session'.length)))),
  );
  return all.filter((one) => one !== undefined).sort((one, other) => one.sid - other.sid);
}

/** Those to one portal of a target; there may be several. */
export async function sessionsTo(folders: SystemFolders, portal: string, iqn: string): Promise<Session[]> {
  return (await sessions(folders)).filter((one) => one.portal === portal && one.iqn === iqn);
}

/** What a session was logged in with, by the kernel's own word; null: nobody was asked. Undefined where it can't be read. */
export async function chapOf({ sys }: SystemFolders, { sid }: Session): Promise<Chap | null | undefined> {
  const folder = join(sys, 'class/iscsi_session', `session${sid}`);
  const [user, password] = [
    await readText(join(folder, 'username')),
    await readText(join(folder, 'password')),
  ];
  if (user === undefined || password === undefined) return undefined;
  const none = ['', '(null)'];
  return none.includes(user) || none.includes(password) ? null : { user, password };
}

/** The initiator in software has one target to a host, at 0:0; where one is known already, sysfs says so. */
export async function addressOn(folders: SystemFolders, session: Session, lun: number): Promise<ScsiAddress> {
  const [known] = await addressesOf(folders, session.host);
  return { host: session.host, channel: known?.channel ?? 0, target: known?.target ?? 0, lun };
}
