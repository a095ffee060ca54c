/** Asks a portal for the other portals of its target.
 *  Promises: no record of a target is made or changed by it (a discovery would reset those of others), and the one of the discovery
 *  itself is given back; a portal that does not answer costs seconds; only portals of the target that was asked for come out. */

import type { Scene } from '../scsi/scene.ts';
import { type Chap, type Portal, readIqn, readPortal } from './connection.ts';
import type { RecordSettings } from './record-text.ts';
import { borrow, findDiscovery, giveBack } from './records.ts';

const answerSeconds = 8;
const limitMs = 45_000;
const portalsMax = 16;

const settings = (chap: Chap | null): RecordSettings =>
  new Map<string, string | null>([
    ['discovery.startup', 'manual'],
    ['discovery.sendtargets.use_discoveryd', 'No'],
    ['discovery.sendtargets.reopen_max', '0'],
    ['discovery.sendtargets.timeo.login_timeout', String(answerSeconds)],
    ['discovery.sendtargets.auth.authmethod', chap === null ? 'None' : 'CHAP'],
    ['discovery.sendtargets.auth.username', chap?.user ?? null],
    ['discovery.sendtargets.auth.password', chap?.password ?? null],
  ]);

/** Lines of "10.0.0.2:3260,1 iqn.2026-01.example:disk"; hostile. */
export function readTargets(text: string): { portal: string; iqn: string }[] {
  return text.split('\n').flatMap((line) => {
    const [, portal = '', iqn = ''] = /^(\S+),-?\d+ (\S+)$/.exec(line.trim()) ?? [];
    try {
      return portal === '' ? [] : [{ portal: readPortal(portal), iqn: readIqn(iqn) }];
    } catch {
      return [];
    }
  });
}

/** The portals of the target, the one that was asked first; alone where the discovery fails. */
export async function discover(scene: Scene, first: Portal, chap: Chap | null): Promise<Portal[]> {
  const { context } = scene;
  const words = ['-m', 'discoverydb', '-t', 'sendtargets', '-p', first.portal];
  return context.alone(`iscsi discovery ${first.portal}`, async () => {
    const find = () => findDiscovery(context, first.portal);
    const fresh = (await find()) === undefined;
    const make = () => context.tools.output('iscsiadm', [...words, '-o', 'new']);
    const path = await borrow(find, make, () => settings(chap));
    try {
      const options = { timeoutMs: limitMs, signal: context.signal };
      const { status, stdout, complaint } = await context.tools.run(
        'iscsiadm',
        [...words, '-D', '-o', 'nonpersistent'],
        options,
      );
      if (status !== 0) context.note(`discovery at ${first.portal} failed: ${complaint}`);
      const others = readTargets(status === 0 ? stdout : '').filter(
        ({ portal, iqn }) => iqn === first.iqn && portal !== first.portal,
      );
      const portals = [...new Set(others.map(({ portal }) => portal))].slice(0, portalsMax - 1);
      return [first, ...portals.map((portal) => ({ ...first, portal }))];
    } finally {
      await giveBack(path, fresh);
    }
  });
}
