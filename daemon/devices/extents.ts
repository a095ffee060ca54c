/** Walks a file or device in runs of data and of holes.
 *  Promises: the runs follow one another from `from` to `to` without gaps, whatever happens to the file meanwhile; what is
 *  not known to be a hole is data; holds one run at a time. */

import type { Native } from '../../native/native.ts';
import { assert } from '../base/assert.ts';
import type { Extent } from './device.ts';

export async function* walkExtents(
  native: Pick<Native, 'nextExtent'>,
  fd: number,
  from: number,
  to: number,
): AsyncGenerator<Extent, void, undefined> {
  let run: Extent | undefined;
  let position = from;
  while (position < to) {
    const next = (await native.nextExtent(fd, position, to)) ?? { data: true, end: to };
    assert(next.end > position && next.end <= to, 'a run has a length and stays inside');
    const length = next.end - position;
    if (run !== undefined && run.data === next.data) {
      run = { offset: run.offset, length: run.length + length, data: run.data };
    } else {
      if (run !== undefined) yield run;
      run = { offset: position, length, data: next.data };
    }
    position = next.end;
  }
  if (run !== undefined) yield run;
}
