/** Looks whether everything that a backup in the making has stored is still there, before it is gone on with.
 *  Promises: true only where every page below the open ones could be read and verified, and the index holds every page and block
 *  that they name, with nothing against them; packs may have been removed since. Reads pages, not blocks: one page for each 512
 *  blocks. */

import { digestBytes, isZero } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';
import { fanout } from '../../base/limits.ts';
import type { WriterState } from '../../format/writer-state.ts';
import { throwIndexFault } from './index-fault.ts';
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
    // Also of pages: one may be read from memory although its pack has gone.
    if (!(await allHeld(parts, page))) return false;
    if (level === 1) return true;
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

async function allHeld({ index }: NativeParts, page: Uint8Array): Promise<boolean> {
  const held = new Uint8Array(fanout);
  await index.holds(page, held).catch(throwIndexFault);
  return !held.includes(0);
}
