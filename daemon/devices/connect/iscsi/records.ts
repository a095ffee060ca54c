/** Records of open-iscsi's database, which iscsiadm takes a login from.
 *    none there ─iscsiadm -o new▶ ours ─our settings, in one step▶ login … ▶ removed
 *    somebody's  ─a copy aside▶ our settings ▶ login … ▶ his again
 *  Promises: secrets go into files of mode 0600 and nowhere else, never into a word of a program; a record that was there before is
 *  as it was when the attachment has gone; nothing in it makes the host log in by itself. */

import { readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, Fault } from '../../../base/faults.ts';
import { removeFile, replaceFile } from '../../../base/files.ts';
import type { ConnectContext } from '../connector.ts';
import { isOurs, type RecordSettings, withSettings } from './record-text.ts';

type Host = Pick<ConnectContext, 'folders'>;

/** Debian keeps them below /etc, others below /var/lib. */
const rootsOf = ({ folders }: Host): string[] => [join(folders.etc, 'iscsi'), '/var/lib/iscsi'];

export const nodeFolders = (host: Host): string[] => rootsOf(host).map((root) => join(root, 'nodes'));

const isFile = async (path: string): Promise<boolean> =>
  stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );

/** "10.0.0.2:3260" is "10.0.0.2,3260" there, "[fd00::1]:3260" is "fd00::1,3260". */
export function fileStem(portal: string): string {
  const at = portal.lastIndexOf(':');
  return `${portal.slice(0, at).replace(/^\[|\]$/g, '')},${portal.slice(at + 1)}`;
}

/** A record made by hand is a file, one of a discovery a folder with a file for each interface: ours is the default one. */
export async function findNode(host: Host, portal: string, iqn: string): Promise<string | undefined> {
  for (const root of rootsOf(host)) {
    const folder = join(root, 'nodes', iqn);
    for (const name of await readdir(folder).catch(() => [])) {
      if (name !== fileStem(portal) && !name.startsWith(`${fileStem(portal)},`)) continue;
      const paths = [join(folder, name), join(folder, name, 'default')];
      for (const path of paths) if (await isFile(path)) return path;
    }
  }
  return undefined;
}

export async function findDiscovery(host: Host, portal: string): Promise<string | undefined> {
  for (const root of rootsOf(host)) {
    const path = join(root, 'send_targets', fileStem(portal));
    for (const one of [path, join(path, 'st_config')]) if (await isFile(one)) return one;
  }
  return undefined;
}

/** The folder of open-iscsi; it looks for records in folders of it only. */
const rootOf = (path: string): string => /^.*\/iscsi(?=\/)/.exec(path)?.[0] ?? dirname(path);

/** Whole or not at all, and never readable by others. */
async function replace(path: string, text: string): Promise<void> {
  const temporary = join(rootOf(path), `.basalt-${process.pid}-${encodeURIComponent(path).slice(-100)}`);
  try {
    await rm(temporary, { force: true });
    await replaceFile(path, text, { temporary, mode: 0o600 });
  } catch (thrown) {
    throw new Fault(
      'ATTACH_FAILED',
      `Cannot write the record "${path}": ${errnoOf(thrown) ?? String(thrown)}`,
      {
        cause: thrown,
      },
    );
  }
}

/** Where a record of somebody else is kept meanwhile: one place for all attachments, so that the last one can put it back. */
const keptAt = (path: string): string =>
  join(rootOf(path), `.basalt-kept-${encodeURIComponent(path).slice(-200)}`);

/** The record with our settings, and our mark. `make` makes a new one where there is none. */
export async function borrow(
  find: () => Promise<string | undefined>,
  make: () => Promise<unknown>,
  settings: (text: string) => RecordSettings,
): Promise<string> {
  let path = await find();
  const made = path === undefined;
  if (path === undefined) {
    await make();
    path = await find();
  }
  if (path === undefined)
    throw new Fault('TOOL_FAILED', 'Cannot find the record that iscsiadm has just made');
  const text = await readFile(path, 'utf8');
  if (!made && !isOurs(text)) await replace(keptAt(path), text);
  await replace(path, withSettings(text, settings(text)));
  return path;
}

/** Puts back what was there before: nothing, or the record of somebody else. `fresh`: whatever is there was made by us. */
export async function giveBack(path: string, fresh: boolean): Promise<void> {
  if (await isFile(keptAt(path))) {
    // Where it was removed or changed meanwhile, nobody wants the old one any more.
    if (await isMarked(path)) await rename(keptAt(path), path);
    else await removeFile(keptAt(path));
    return;
  }
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined || !(fresh || isOurs(text))) return;
  await removeFile(path);
  // Folders of the portal and of the target, where they are empty now.
  let folder = dirname(path);
  for (let depth = 0; depth < 2 && !/\/(nodes|send_targets)$/.test(folder); depth += 1) {
    await rmdir(folder).catch(() => undefined);
    folder = dirname(folder);
  }
}

/** Whether it was made by an attachment of ours. */
export const isMarked = async (path: string): Promise<boolean> =>
  readFile(path, 'utf8').then(isOurs, () => false);

/** Whether a record that was ours has been written anew by somebody else. */
export const isTaken = async (path: string): Promise<boolean> =>
  (await isFile(path)) && !(await isMarked(path));
