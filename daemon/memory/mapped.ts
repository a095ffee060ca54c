/** Keeps the memory small that maps a file, such as the catalog's: the kernel counts every page of it that was read, and lets none
 *  go by itself while there is memory elsewhere. Promises: what is let go of comes from the page cache when it is read again. */

import type { Native } from '../../native/native.ts';

/** What is read in between is resident: a page of a list, or now and then a whole pass over the catalog. */
const everyMs = 2000;

/** Gives the function that ends it. */
export function releaseMappedRegularly(native: Pick<Native, 'releaseMapped'>, path: string): () => void {
  const timer = setInterval(() => native.releaseMapped(path), everyMs).unref();
  return () => clearInterval(timer);
}
