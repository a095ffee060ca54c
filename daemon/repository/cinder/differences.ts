/** What differs between two Cinder backups, told by their hash lists: nothing of the data is read.
 *  Promises: a range that is not named is the same in both; memory does not grow with the volume. */

import { Fault } from '../../base/faults.ts';
import type { BackupManifest } from '../../format/manifest.ts';
import { type ChainParts, hashListOf, readLayer } from './chain.ts';
import { type HashList, hashBytes } from './hash-list.ts';

const hashesAtOnce = 4096;

export async function* differencesOf(
  parts: ChainParts,
  a: BackupManifest,
  b: BackupManifest,
  signal: AbortSignal,
): AsyncIterable<{ offset: number; length: number }> {
  const [first, second] = [await listOf(parts, a), await listOf(parts, b)];
  if (first.chunkBytes !== second.chunkBytes) {
    const message = `Cannot compare "${a.backup.id}" and "${b.backup.id}": their hash lists have blocks of different sizes`;
    throw new Fault('INVALID_ARGUMENT', message, { hint: 'Restore both, and compare the files' });
  }
  const { chunkBytes } = first;
  const size = Math.max(a.volume.size_bytes, b.volume.size_bytes);
  const count = Math.max(first.count, second.count);
  let start = -1;
  for (let from = 0; from < count; from += hashesAtOnce) {
    signal.throwIfAborted();
    const length = Math.min(hashesAtOnce, count - from);
    const [one, other] = [await hashes(first, from, length), await hashes(second, from, length)];
    for (let number = 0; number < length; number += 1) {
      const at = number * hashBytes;
      const isSame = one.compare(other, at, at + hashBytes, at, at + hashBytes) === 0;
      const offset = (from + number) * chunkBytes;
      if (!isSame && start < 0) start = offset;
      if (!isSame || start < 0) continue;
      yield { offset: start, length: offset - start };
      start = -1;
    }
  }
  if (start >= 0 && start < size) yield { offset: start, length: size - start };
}

async function listOf(parts: ChainParts, { backup }: BackupManifest): Promise<HashList> {
  const list = await hashListOf(parts, await readLayer(parts, backup.id));
  if (list !== undefined) return list;
  throw new Fault('OBJECT_MISSING', `Cannot compare backup "${backup.id}": its hash list is missing`);
}

/** Behind the end of a list there is nothing, which no hash is like. */
async function hashes(list: HashList, first: number, count: number): Promise<Buffer> {
  const output = Buffer.alloc(count * hashBytes);
  const there = Math.max(0, Math.min(count, list.count - first));
  if (there > 0) await list.read(first, output.subarray(0, there * hashBytes));
  return output;
}
