/** Looks whether everything that a backup in the making has stored is still there, before it is gone on with.
 *  Promises: true only where every page below the open ones could be read and verified, and the index knows every block that they
 *  name; packs may have been removed since. Reads pages, not blocks: one page for each 512 blocks. */

import { digestBytes, isZero } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';
import { fanout } from '../../base/limits.ts';
import { locationBytes } from '../../format/block-layouts.ts';
import type { WriterState } from '../../format/writer-state.ts';
import type { PageCache } from './page-cache.ts';
import type { NativeParts } from './parts.ts';

export async function isPresent(
  parts: NativeParts,
  cache: PageCache,
  state: WriterState,
  signal: AbortSignal,
): Promise<boolean> {
  /** `level`: of the page; level 1 names blocks. */
  const visit = async (page: Uint8Array, level: number): Promise<boolean> => {
    signal.throwIfAborted();
    if (level === 1) return blocksPresent(parts, page);
    for (let at = 0; at < page.length; at += digestBytes) {
      const address = page.subarray(at, at + digestBytes);
      if (isZero(address)) continue;
      const child = await cache.use(address, (bytes) => bytes.slice());
      if (!(await visit(child, level - 1))) return false;
    }
    return true;
  };
  try {
    for (const { page, level } of state.pages) if (!(await visit(page, level))) return false;
    return true;
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === 'CHUNK_CORRUPT') return false;
    throw thrown;
  }
}

function blocksPresent({ index }: NativeParts, page: Uint8Array): boolean {
  const locations = Buffer.alloc(fanout * locationBytes);
  index.locate(page, locations);
  for (let number = 0; number < fanout; number += 1) {
    const address = page.subarray(number * digestBytes, (number + 1) * digestBytes);
    if (!isZero(address) && locations.readUInt32LE(number * locationBytes + 12) === 0) return false;
  }
  return true;
}
