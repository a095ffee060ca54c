/** Finds a file in a folder that somebody else fills.
 *  Promises: no step of the way there is a symbolic link, so that it lies in the folder; what is said of it is asked of its server
 *  when it is opened, not remembered. */

import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../../../base/faults.ts';
import { whyOf } from '../../faults.ts';
import { whyNoName } from './address.ts';

export interface FoundFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly inode: bigint;
}

/** The file, or the clause that says why there is none. */
export async function findFile(folder: string, name: string): Promise<FoundFile | string> {
  const wrong = whyNoName(name);
  if (wrong !== undefined) return wrong;
  try {
    let path = folder;
    for (const step of name.split('/')) {
      path = join(path, step);
      const stats = await lstat(path);
      if (stats.isSymbolicLink()) return `"${name}" leads over a symbolic link`;
      if (!stats.isFile() && !stats.isDirectory()) return `"${name}" is no regular file`;
    }
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stats = await handle.stat({ bigint: true });
      if (!stats.isFile()) return `"${name}" is no regular file`;
      // Node reads a number of 64 bits as one with a sign.
      return { path, sizeBytes: Number(stats.size), inode: BigInt.asUintN(64, stats.ino) };
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'ENOTDIR') return `there is no file "${name}"`;
    if (errnoOf(thrown) === 'ELOOP') return `"${name}" leads over a symbolic link`;
    return whyOf(thrown);
  }
}
