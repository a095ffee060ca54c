/** Partitions and file systems inside an image, read by the system's own programs (sfdisk, blkid) in their own processes.
 *  Promises: nothing of the image is written or mounted. */

import { z } from 'zod';
import { Fault } from '../base/faults.ts';
import { runCommand } from './commands.ts';
import type { Partition } from './tables/range.ts';

/** Part of the image that holds a file system; `number` is null where that is the whole image. */
export interface Volume {
  readonly number: number | null;
  readonly offset: number;
  /** Undefined: to the end of the image. */
  readonly sizeBytes: number | undefined;
}

const tableShape = z.object({
  partitiontable: z.object({
    sectorsize: z.int().positive().default(512),
    partitions: z
      .array(z.object({ node: z.string(), start: z.int().min(0), size: z.int().min(0) }))
      .default([]),
  }),
});

/** The partitions of an image in the order of their numbers; none where there is no partition table. */
export async function readPartitions(imagePath: string): Promise<Partition[]> {
  const { ok, output } = await runCommand('sfdisk', '-J', imagePath);
  if (!ok) return [];
  const { sectorsize, partitions } = parseTable(output);
  return partitions
    .map(({ node, start, size }) => ({
      number: Number(/\d+$/.exec(node)?.[0] ?? 0),
      offset: start * sectorsize,
      sizeBytes: size * sectorsize,
    }))
    .sort((a, b) => a.number - b.number);
}

function parseTable(output: string): z.infer<typeof tableShape>['partitiontable'] {
  try {
    return tableShape.parse(JSON.parse(output)).partitiontable;
  } catch {
    return { sectorsize: 512, partitions: [] };
  }
}

/** blkid's word for the file system at `path`, or undefined where it knows none. */
export async function fileSystemAt(path: string, part?: Partition): Promise<string | undefined> {
  const range = part === undefined ? [] : ['-O', String(part.offset), '-S', String(part.sizeBytes)];
  const { ok, output } = await runCommand('blkid', '-p', ...range, '-o', 'value', '-s', 'TYPE', path);
  return ok && output !== '' ? output : undefined;
}

/** What to mount of an image. INVALID_ARGUMENT, with the partitions there are, where that is not clear. */
export async function chooseVolume(
  imagePath: string,
  wanted: number | null,
  isKnown: (fileSystem: string) => boolean,
): Promise<Volume> {
  const partitions = await readPartitions(imagePath);
  if (wanted !== null) {
    const found = partitions.find(({ number }) => number === wanted);
    if (found !== undefined) return found;
    throw unclear(`Cannot use partition "${wanted}": there is no such partition`, partitions, []);
  }
  if (partitions.length === 0) return { number: null, offset: 0, sizeBytes: undefined };
  const kinds: (string | undefined)[] = [];
  for (const partition of partitions) kinds.push(await fileSystemAt(imagePath, partition));
  const candidates = partitions.filter((_, at) => isKnown(kinds[at] ?? ''));
  const [only] = candidates;
  if (only !== undefined && candidates.length === 1) return only;
  const why =
    only === undefined ? 'no partition has a known file system' : 'several partitions could be meant';
  throw unclear(`Cannot tell which file system of the image is meant: ${why}`, partitions, kinds);
}

function unclear(
  message: string,
  partitions: readonly Partition[],
  kinds: readonly (string | undefined)[],
): Fault {
  const rows = partitions.map(({ number, sizeBytes }, at) => {
    const kind = kinds[at];
    return `${number} (${sizeBytes} bytes${kind === undefined ? '' : `, ${kind}`})`;
  });
  const list = rows.length === 0 ? 'the image has no partitions' : `partitions: ${rows.join(', ')}`;
  return new Fault('INVALID_ARGUMENT', `${message}; ${list}`, {
    hint: rows.length === 0 ? 'Leave out --partition' : 'Name one of these partitions with --partition',
    details: {
      partitions: partitions.map((partition, at) => ({ ...partition, file_system: kinds[at] ?? null })),
    },
  });
}
