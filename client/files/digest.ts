/** Whether two files hold the same. Promises: content is read only where size and times leave it open; holes and zeros are the
 *  same. Knows nothing of what is printed. */

import { createHash } from 'node:crypto';
import type { FileValue } from '../../daemon/protocol/values.ts';
import { type Place, readPieces, withZeros } from './walk.ts';

/** SHA-256 of a file's content, in hex. */
export async function digestOf(
  place: Place,
  file: { readonly path: string; readonly node: number },
): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of withZeros(readPieces(place, file))) hash.update(bytes);
  return hash.digest('hex');
}

/** True where the file was not touched in between: the same number, size, and times of the last write and change. */
export const isUntouched = (a: FileValue, b: FileValue): boolean =>
  a.node === b.node &&
  a.kind === b.kind &&
  a.size_bytes === b.size_bytes &&
  a.modified_at === b.modified_at &&
  a.changed_at === b.changed_at;

/** What differs between a file at two points in time, in words; empty: nothing. */
export async function differences(
  [before, placeBefore]: readonly [FileValue, Place],
  [after, placeAfter]: readonly [FileValue, Place],
  path: string,
): Promise<string[]> {
  if (before.kind !== after.kind) return ['kind'];
  const words: string[] = [];
  if (before.mode !== after.mode) words.push('mode');
  if (before.uid !== after.uid || before.gid !== after.gid) words.push('owner');
  if (before.kind === 'file' && !isUntouched(before, after)) {
    if (before.size_bytes !== after.size_bytes) words.push('content');
    else {
      const digests = await Promise.all([
        digestOf(placeBefore, { path, node: before.node }),
        digestOf(placeAfter, { path, node: after.node }),
      ]);
      if (digests[0] !== digests[1]) words.push('content');
    }
  }
  if (before.device !== after.device) words.push('device');
  if (before.kind !== 'folder' && before.modified_at !== after.modified_at && words.length === 0)
    words.push('time');
  return words;
}
