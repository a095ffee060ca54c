/** Leaves a session, and gives back its record.
 *  Promises: a session that was there before, or on which anything still stands, stays, and so does one whose record somebody else has
 *  made his own since, as OpenStack does before it shares a session: he ends it. One that a killed login of ours brings up late
 *  is waited for, so that it isn't left. Who calls has taken down the disks of the attachment. */

import { namesIn, readText } from '../../block-names.ts';
import { addressesOf, addressText } from '../scsi/disks.ts';
import { type Scene, until } from '../scsi/scene.ts';
import { deviceLeft } from '../trouble.ts';
import type { SessionBuilt } from './built.ts';
import { portalKey } from './login.ts';
import { findNode, giveBack, isMarked, isTaken } from './records.ts';
import { type Session, sessionsTo } from './sessions.ts';

/** iscsid gives a login up by itself long before. */
const lateLoginLimitMs = 45_000;
const logoutLimitMs = 60_000;

/** Whether an iscsiadm of an earlier life of ours still waits for its login. */
async function loginRuns({ portal, iqn }: SessionBuilt): Promise<boolean> {
  for (const pid of (await namesIn('/proc')).filter((name) => /^\d+$/.test(name))) {
    const words = ((await readText(`/proc/${pid}/cmdline`)) ?? '').split('\0');
    const own = words[0]?.endsWith('iscsiadm') === true && words.includes('--login');
    if (own && words.includes(portal) && words.includes(iqn)) return true;
  }
  return false;
}

/** Undefined where no login of ours can have made one: it was refused, or not begun, as the record comes before it. */
async function ownSession(scene: Scene, entry: SessionBuilt): Promise<Session | undefined> {
  if (entry.sid === null && (!entry.trying || entry.record === null)) return undefined;
  if (entry.trying) {
    const ended = async () => ((await loginRuns(entry)) ? undefined : true);
    await until(scene, ended, { limitMs: lateLoginLimitMs, everyMs: 300 });
  }
  const all = await sessionsTo(scene.context.folders, entry.portal, entry.iqn);
  return entry.sid === null ? all.at(-1) : all.find(({ sid }) => sid === entry.sid);
}

async function logOut(scene: Scene, session: Session): Promise<void> {
  const { tools, folders } = scene.context;
  const words = ['-m', 'session', '-r', String(session.sid), '--logout'];
  const { complaint } = await tools.run('iscsiadm', words, { timeoutMs: logoutLimitMs, toTheEnd: true });
  const gone = async () => {
    const all = await sessionsTo(folders, session.portal, session.iqn);
    return all.some(({ sid }) => sid === session.sid) ? undefined : true;
  };
  if ((await until(scene, gone, { limitMs: 5_000 })) === true) return;
  throw deviceLeft(scene.what, [`session ${session.sid} to ${session.iqn}`], complaint);
}

async function leave(scene: Scene, entry: SessionBuilt, sameBoot: boolean): Promise<void> {
  const { context } = scene;
  const session = sameBoot && entry.made ? await ownSession(scene, entry) : undefined;
  if (session !== undefined) {
    const others = await addressesOf(context.folders, session.host);
    if (others.length > 0) {
      context.note(`session ${session.sid} stays: ${others.map(addressText).join(', ')} stands on it`);
      return;
    }
    if (entry.record !== null && (await isTaken(entry.record))) {
      context.note(`session ${session.sid} stays: somebody else has changed its record, and shares it`);
    } else await logOut(scene, session);
  } else if (await usedByAnother(scene, entry)) return;
  if (entry.record !== null) await giveBack(entry.record, false);
  else if (entry.fresh) await removeUnmarked(scene, entry);
}

/** A later login of ours has taken the record over, and gives it back. */
async function usedByAnother({ context }: Scene, { portal, iqn, record }: SessionBuilt): Promise<boolean> {
  if (record === null || !(await isMarked(record))) return false;
  return (await sessionsTo(context.folders, portal, iqn)).length > 0;
}

/** A record that was made, and has not got our mark yet; with a session to its portal it is somebody else's. */
async function removeUnmarked({ context }: Scene, { portal, iqn }: SessionBuilt): Promise<void> {
  const path = await findNode(context, portal, iqn);
  if (path === undefined || (await sessionsTo(context.folders, portal, iqn)).length > 0) return;
  await giveBack(path, true);
}

export async function leaveSession(scene: Scene, entry: SessionBuilt, sameBoot: boolean): Promise<void> {
  await scene.context.alone(portalKey(entry), () => leave(scene, entry, sameBoot));
}
