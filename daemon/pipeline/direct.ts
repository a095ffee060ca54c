/** A second descriptor of a source or target that goes past the page cache, for as long as a copy runs. Knows nothing of what
 *  is copied. */

import { close } from 'node:fs';
import type { Native } from '../../native/native.ts';

/** The two descriptors of one file; `directFd` is -1 where it takes no direct access. */
export interface Descriptors {
  readonly fd: number;
  readonly directFd: number;
}

export async function withDirect<T>(
  native: Pick<Native, 'openDirect'>,
  fd: number,
  forWriting: boolean,
  copy: (descriptors: Descriptors) => Promise<T>,
): Promise<T> {
  const directFd = await native.openDirect(fd, forWriting);
  try {
    return await copy({ fd, directFd });
  } finally {
    if (directFd >= 0) await new Promise<void>((resolve) => close(directFd, () => resolve()));
  }
}
