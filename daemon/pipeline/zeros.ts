/** Makes ranges of a target read as zeros.
 *  Promises: afterwards the whole range reads as zeros, whatever it held; in a differential restore only what is not zero by
 *  now is touched, and what the target itself calls a hole is not even read. Knows nothing of images. */

import type { Native } from '../../native/native.ts';
import { GiB, MiB } from '../base/bytes.ts';
import { segmentBytes } from '../base/limits.ts';
import type { Target } from '../devices/device.ts';
import { targetWriteFault } from '../devices/faults.ts';
import { throwIfCancelled } from './parts.ts';

export interface ZeroParts {
  readonly target: Target;
  readonly native: Pick<Native, 'write' | 'zeroRange' | 'nextExtent'>;
  readonly signal: AbortSignal;
}

/** Zeroing goes in steps, so that progress and cancellation do not wait: long ones where holes are made, short ones where
 *  zeros have to be written. */
const holeStepBytes = GiB;
const writtenStepBytes = 64 * MiB;

export async function zeroRange(
  { target, native, signal }: ZeroParts,
  begin: number,
  end: number,
  report: (bytes: number) => void,
): Promise<void> {
  const { gate } = target;
  const mostBytes = gate?.bytesMax ?? holeStepBytes;
  let stepBytes = writtenStepBytes;
  for (let at = begin; at < end; ) {
    throwIfCancelled(signal);
    const length = Math.min(stepBytes, mostBytes, end - at);
    const passed = await gate?.pass(length, signal);
    const zeroed = native.zeroRange(target.fd, at, length).catch((thrown: unknown) => {
      throw targetWriteFault(target.url, thrown);
    });
    const how = await zeroed.finally(passed);
    stepBytes = how === 'punched' ? holeStepBytes : writtenStepBytes;
    report(length);
    at += length;
  }
}

/** Pieces of a range that the target does not say are holes, at most a segment long; holes are told to `unchanged`. */
export async function* notHoles(
  { target, native, signal }: ZeroParts,
  begin: number,
  end: number,
  unchanged: (bytes: number) => void,
): AsyncIterable<{ offset: number; length: number }> {
  for (let at = begin; at < end; ) {
    throwIfCancelled(signal);
    const extent = await native.nextExtent(target.fd, at, end).catch((thrown: unknown) => {
      throw targetWriteFault(target.url, thrown);
    });
    const extentEnd = Math.min(end, extent?.end ?? end);
    if (extent?.data === false) unchanged(extentEnd - at);
    else {
      for (let offset = at; offset < extentEnd; offset += segmentBytes) {
        yield { offset, length: Math.min(segmentBytes, extentEnd - offset) };
      }
    }
    at = extentEnd;
  }
}
