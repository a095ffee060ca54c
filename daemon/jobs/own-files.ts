/** Keeps restores away from what the daemon itself lives on: writing a backup over the repository that holds it would end both.
 *  Promises: a path is judged by where it really leads. Changes nothing. */

import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Fault } from '../base/faults.ts';
import { isWithin } from '../base/paths.ts';
import type { Services } from './services.ts';

/** TARGET_UNUSABLE where `path` lies in the state folder, the repository or the view; the restore folder is for restores. */
export async function refuseOwnFiles(services: Services, path: string): Promise<void> {
  const target = await realPathOf(path);
  if (isWithin(target, await realPathOf(services.restoreDirectory))) return;
  const own: [what: string, folder: string | undefined][] = [
    ['the state folder', services.stateDirectory],
    ...services.repositories
      .list()
      .map(({ id, url }): [string, string | undefined] => [`repository "${id}"`, repositoryFolder(url)]),
    ['the view', services.view()?.directory],
  ];
  for (const [what, folder] of own) {
    if (folder === undefined || !isWithin(target, await realPathOf(folder))) continue;
    throw new Fault('TARGET_UNUSABLE', `Cannot write to "${path}": it belongs to ${what} of this daemon`, {
      hint: 'Name a path outside of the folders of basaltd',
    });
  }
}

const repositoryFolder = (url: string): string | undefined =>
  /^([a-z]+\+)?file:/.test(url) ? fileURLToPath(url.replace(/^[a-z]+\+/, '')) : undefined;

/** The real path, also of a file that is yet to be made. */
async function realPathOf(path: string): Promise<string> {
  return realpath(path).catch(async () =>
    dirname(path) === path ? path : join(await realPathOf(dirname(path)), basename(path)),
  );
}
