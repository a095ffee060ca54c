/** Which volume inside an image is meant. Pure. INVALID_ARGUMENT, with the volumes there are, where that is not clear. */

import { Fault } from '../../base/faults.ts';
import { isReadable } from '../inside/contents.ts';
import type { InnerVolume } from '../inside/volumes.ts';

/** `wanted`: its name, for example "2"; null: the one that there is. */
export function chooseVolume(volumes: readonly InnerVolume[], wanted: string | null): InnerVolume {
  if (wanted !== null) {
    const found = volumes.find(({ name }) => name === wanted && name !== '');
    if (found !== undefined) return found;
    throw unclear(`Cannot use partition "${wanted}": there is no such partition`, volumes);
  }
  const whole = volumes.find(({ name }) => name === '');
  if (whole !== undefined) return whole;
  const readable = volumes.filter(({ content }) => isReadable(content));
  const [only] = readable;
  if (only !== undefined && readable.length === 1) return only;
  const why =
    only === undefined ? 'no partition has a known file system' : 'several partitions could be meant';
  throw unclear(`Cannot tell which file system of the image is meant: ${why}`, volumes);
}

function unclear(message: string, volumes: readonly InnerVolume[]): Fault {
  const parts = volumes.filter(({ name }) => name !== '');
  const rows = parts.map(({ name, sizeBytes, content }) => {
    return `${name} (${sizeBytes} bytes${content === null ? '' : `, ${content}`})`;
  });
  const list = rows.length === 0 ? 'the image has no partitions' : `partitions: ${rows.join(', ')}`;
  return new Fault('INVALID_ARGUMENT', `${message}; ${list}`, {
    hint: rows.length === 0 ? 'Leave out --partition' : 'Name one of these partitions with --partition',
    details: {
      partitions: parts.map(({ name, segments, sizeBytes, content }) => ({
        number: Number(name),
        offset: segments[0]?.places[0] ?? 0,
        sizeBytes,
        file_system: content,
      })),
    },
  });
}
