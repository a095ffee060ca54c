/** Which volume inside an image is meant. Pure. INVALID_ARGUMENT, with the volumes there are, where that is not clear. */

import { Fault } from '../../base/faults.ts';
import { isReadable } from '../inside/contents.ts';
import { type InnerVolume, lvmName } from '../inside/volumes.ts';

const lvmStart = `${lvmName}/`;

/** `wanted`: its name, for example "2" or "lvm/group/volume"; null: the one that there is. */
export function chooseVolume(volumes: readonly InnerVolume[], wanted: string | null): InnerVolume {
  if (wanted !== null) {
    const found = volumes.find(({ name }) => name === wanted && name !== '');
    if (found !== undefined) return found;
    const what = wanted.startsWith(lvmStart)
      ? `logical volume "${wanted.slice(lvmStart.length)}": there is no such volume`
      : `partition "${wanted}": there is no such partition`;
    throw unclear(`Cannot use ${what}`, volumes);
  }
  const readable = volumes.filter(({ content }) => isReadable(content));
  const [only] = readable;
  if (only !== undefined && readable.length === 1) return only;
  // The reader says what it finds there.
  const whole = volumes.find(({ name }) => name === '');
  if (whole !== undefined && readable.length === 0) return whole;
  const why =
    only === undefined ? 'no partition has a known file system' : 'several partitions could be meant';
  throw unclear(`Cannot tell which file system of the image is meant: ${why}`, volumes);
}

function unclear(message: string, volumes: readonly InnerVolume[]): Fault {
  const parts = volumes.filter(({ name }) => name !== '');
  const rows = parts.map(({ name, sizeBytes, content }) => {
    const shown = name.startsWith(lvmStart) ? `logical volume ${name.slice(lvmStart.length)}` : name;
    return `${shown} (${sizeBytes} bytes${content === null ? '' : `, ${content}`})`;
  });
  const list = rows.length === 0 ? 'the image has no partitions' : `partitions: ${rows.join(', ')}`;
  return new Fault('INVALID_ARGUMENT', `${message}; ${list}`, {
    hint:
      rows.length === 0
        ? 'Leave out --partition and --logical-volume'
        : 'Name one of these with --partition or --logical-volume',
    details: {
      partitions: parts.map(({ name, segments, sizeBytes, content }) => ({
        ...(name.startsWith(lvmStart)
          ? { logical_volume: name.slice(lvmStart.length) }
          : { number: Number(name), offset: segments[0]?.places[0] ?? 0 }),
        sizeBytes,
        file_system: content,
      })),
    },
  });
}
