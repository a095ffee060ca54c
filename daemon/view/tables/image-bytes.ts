/** Small pieces of an image by their offset, verified. Promises: bytes that could not be verified are a failure; memory is
 *  one block, whatever is asked for, and the answer. */

import { Fault } from '../../base/faults.ts';
import type { BackupImage, DamagedRange } from '../../repository/repository.ts';
import type { ReadBytes } from './range.ts';

/** `scratch`: a block at least. For one caller at a time. */
export function bytesOf(image: BackupImage, scratch: Uint8Array): ReadBytes {
  const { blockBytes } = image;
  const block = Buffer.alloc(blockBytes);
  let held = -1;
  let damaged: readonly DamagedRange[] = [];
  return async (offset, length) => {
    const bytes = Buffer.alloc(length);
    for (let done = 0; done < length; ) {
      const position = offset + done;
      const start = position - (position % blockBytes);
      if (held !== start) {
        held = -1;
        damaged = await image.read(start, block, scratch.subarray(0, blockBytes));
        held = start;
      }
      const end = Math.min(offset + length, start + blockBytes);
      const hit = damaged.find((range) => range.offset < end && position < range.offset + range.length);
      if (hit !== undefined)
        throw new Fault('CHUNK_CORRUPT', `Cannot read the image at ${position}: ${hit.reason}`);
      done += block.copy(bytes, done, position - start, end - start);
    }
    return bytes;
  };
}
