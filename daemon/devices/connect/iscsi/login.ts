/** Logs in to one portal of a target, or finds the session that is there.
 *  Promises: a session that is there is used as it is, by who has the secret that it was logged in with; a login of ours brings no disks along, ends within seconds where nobody answers,
 *  and is in the journal before it is begun. Who calls holds the key of the portal and target. */

import type { ConnectContext } from '../connector.ts';
import { remedyIn } from '../remedies.ts';
import { NoWay } from '../scsi/bring.ts';
import { type Ledger, put } from '../scsi/built.ts';
import { type Scene, until } from '../scsi/scene.ts';
import type { IscsiBuilt, SessionBuilt } from './built.ts';
import { type Chap, opens, type Portal } from './connection.ts';
import { type RecordSettings, settingOf } from './record-text.ts';
import { borrow, findNode, giveBack, isMarked } from './records.ts';
import { chapOf, type Session, sessionsTo } from './sessions.ts';

/** Exit statuses of iscsiadm(8). */
const sessionExists = 15;
const loginDenied = 24;
const unsuccessful: ReadonlyMap<number, string> = new Map([
  [4, 'nobody listens there'],
  [8, 'it does not answer, or does not know the target'],
  [9, 'the target has refused the login'],
  [19, 'the target is not known there'],
  [12, 'the kernel has no iSCSI over TCP'],
  [20, 'iscsid does not run'],
]);

const loginSeconds = 8;
/** A path that others can stand in for is given up on sooner. */
const replacementSeconds = { several: 5, single: 30 } as const;
const pingSeconds = 5;
/** iscsid ends it by itself before; it is not ended from here, as iscsid would go on all the same. */
const loginLimitMs = 60_000;

export const portalKey = ({ portal, iqn }: Pick<Portal, 'portal' | 'iqn'>): string =>
  `iscsi ${portal} ${iqn}`;

/** No more than the limit, or what the host's own settings say where that is less. */
const atMost = (text: string, name: string, limit: number): string => {
  const own = Number(settingOf(text, name));
  return String(Number.isSafeInteger(own) && own > 0 ? Math.min(own, limit) : limit);
};

export function nodeSettings(text: string, chap: Chap | null, several: boolean): RecordSettings {
  const limited = (name: string, limit: number) => [name, atMost(text, name, limit)] as const;
  return new Map<string, string | null>([
    ['node.startup', 'manual'],
    ['node.conn[0].startup', 'manual'],
    ['node.session.scan', 'manual'],
    ['node.session.nr_sessions', '1'],
    ['node.session.initial_login_retry_max', '1'],
    limited('node.conn[0].timeo.login_timeout', loginSeconds),
    limited('node.session.timeo.replacement_timeout', replacementSeconds[several ? 'several' : 'single']),
    limited('node.conn[0].timeo.noop_out_interval', pingSeconds),
    limited('node.conn[0].timeo.noop_out_timeout', pingSeconds),
    ['node.session.auth.authmethod', chap === null ? 'None' : 'CHAP'],
    ['node.session.auth.username', chap?.user ?? null],
    ['node.session.auth.password', chap?.password ?? null],
    ['node.session.auth.username_in', null],
    ['node.session.auth.password_in', null],
  ]);
}

const nodeWords = ({ portal, iqn }: Portal): string[] => ['-m', 'node', '-T', iqn, '-p', portal];

export interface LoginParts {
  readonly scene: Scene;
  readonly ledger: Ledger<IscsiBuilt>;
  readonly chap: Chap | null;
  readonly several: boolean;
}

const journal = (ledger: Ledger<IscsiBuilt>, entry: SessionBuilt): Promise<void> =>
  ledger.change((value) => ({
    ...value,
    sessions: put(value.sessions, entry, ({ portal, iqn }) => portal === entry.portal && iqn === entry.iqn),
  }));

async function loggedIn(
  parts: LoginParts,
  to: Portal,
  entry: SessionBuilt & { readonly record: string },
): Promise<Session> {
  const { scene, ledger } = parts;
  const { tools, folders } = scene.context;
  const options = { timeoutMs: loginLimitMs, toTheEnd: true };
  const { status, complaint, stderr } = await tools.run('iscsiadm', [...nodeWords(to), '--login'], options);
  const look = async () => (await sessionsTo(folders, to.portal, to.iqn)).at(-1);
  const session = await until(scene, look, { limitMs: status === 0 ? 5_000 : 0 });
  if (session !== undefined && status === 0) {
    await journal(ledger, { ...entry, trying: false, sid: session.sid });
    return session;
  }
  if (status !== null && status !== 0) await unrecorded(ledger, entry);
  // Somebody was faster.
  if (session !== undefined && status === sessionExists) return shared(parts, to, session);
  if (status === loginDenied) throw new NoWay('the target has refused the user name or the secret', true);
  const said = /initiator reported error \((.*)\)/.exec(stderr)?.[1] ?? complaint;
  const why = unsuccessful.get(status ?? -1);
  throw new NoWay(why === undefined ? said : `${why} (${said})`, false, remedyIn(stderr));
}

/** The session to the portal. */
export async function login(parts: LoginParts, to: Portal): Promise<Session> {
  const { scene, ledger, chap } = parts;
  const { context } = scene;
  const own = ledger.value.sessions.find(({ portal, iqn }) => portal === to.portal && iqn === to.iqn);
  const there = await sessionsTo(context.folders, to.portal, to.iqn);
  const session = there.find(({ state }) => state === 'LOGGED_IN') ?? there[0];
  if (session !== undefined) return session.sid === own?.sid ? session : shared(parts, to, session);
  if (chap?.password === '') throw new NoWay(`no secret is known for the user "${chap.user}"`, true);
  return loggedIn(parts, to, await recorded(parts, to, own));
}

/** A record with our settings. That there was none is journaled before one is made. */
async function recorded(
  { scene: { context }, ledger, chap, several }: LoginParts,
  to: Portal,
  own: SessionBuilt | undefined,
): Promise<SessionBuilt & { readonly record: string }> {
  const { portal, iqn } = to;
  const find = () => findNode(context, portal, iqn);
  const before = await find();
  const fresh = own?.fresh === true || before === undefined;
  const record = before ?? null;
  const pending: SessionBuilt = { portal, iqn, sid: null, made: true, trying: true, record, fresh };
  await journal(ledger, pending);
  const path = await borrow(
    find,
    () => context.tools.output('iscsiadm', [...nodeWords(to), '-o', 'new']),
    (text) => nodeSettings(text, chap, several),
  );
  const entry = { ...pending, record: path };
  await journal(ledger, entry);
  return entry;
}

async function shared({ scene, ledger, chap }: LoginParts, to: Portal, session: Session): Promise<Session> {
  const { context } = scene;
  const held = await chapOf(context.folders, session);
  if (held === undefined || !opens(held, chap)) {
    const why = held === undefined ? 'nobody can say with which secret' : 'with another user name or secret';
    throw new NoWay(`session ${session.sid} is there, ${why}, and is not shared`, true);
  }
  await journal(ledger, await sharedWith(context, to, session));
  return session;
}

/** Without a session of ours the record is its owner's again at once: he may log in with it meanwhile. */
async function unrecorded(
  ledger: Ledger<IscsiBuilt>,
  entry: SessionBuilt & { readonly record: string },
): Promise<void> {
  await journal(ledger, { ...entry, made: false, trying: false });
  await giveBack(entry.record, entry.fresh);
  await journal(ledger, { ...entry, made: false, trying: false, record: null, fresh: false });
}

/** A session that was there is somebody else's, unless the record says that an attachment of ours has made it: then whoever leaves
 *  it last ends it. */
async function sharedWith(context: ConnectContext, to: Portal, session: Session): Promise<SessionBuilt> {
  const path = await findNode(context, to.portal, to.iqn);
  const ours = path !== undefined && (await isMarked(path));
  const { portal, iqn } = to;
  const record = ours ? path : null;
  return { portal, iqn, sid: session.sid, made: ours, trying: false, record, fresh: false };
}
