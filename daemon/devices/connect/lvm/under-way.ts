/** Commands of LVM and device-mapper that are still at work, whoever has begun them: one that its time limit, or a daemon that was
 *  killed, has left behind does all the same what it was told to, a little later. Promises: only reads. Source: proc(5), "cmdline". */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readText } from '../../block-names.ts';

/** Whether the words of some command of this host are such. */
export async function isUnderWay(
  isSuch: (words: readonly string[]) => boolean,
  processes = '/proc',
): Promise<boolean> {
  for (const name of await readdir(processes)) {
    if (!/^\d+$/.test(name)) continue;
    // One that has ended meanwhile does nothing any more.
    const words = (await readText(join(processes, name, 'cmdline')))?.split('\0') ?? [];
    if (isSuch(words)) return true;
  }
  return false;
}

/** Whether the words are those that make a volume of this name. Pure. */
export const makes =
  (volume: string) =>
  (words: readonly string[]): boolean =>
    words.some((word, at) => word === '--name' && words[at + 1] === volume);
