/** What sysfs says of block devices: names, sizes, partitions and holders.
 *  Promises: only reads; a device that goes away while it is looked at is as good as absent. Source: sysfs-block (kernel, ABI/stable). */

import type { BigIntStats } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** sysfs counts in these, whatever the sector size of the device. */
const sysfsSectorBytes = 512;

export interface BlockName {
  /** "8:1" */
  readonly number: string;
  /** "/dev/sda1" */
  readonly path: string;
  readonly folder: string;
}

/** The text of a small kernel file; undefined where there is none (any more). */
export async function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then(
    (text) => text.replace(/\n$/, ''),
    () => undefined,
  );
}

export const namesIn = async (folder: string): Promise<string[]> => readdir(folder).catch(() => []);

export const statOf = async (path: string): Promise<BigIntStats | undefined> =>
  stat(path, { bigint: true }).catch(() => undefined);

/** Kernel names have "!" where the name under /dev has a folder. */
const pathOf = (kernelName: string): string => `/dev/${kernelName.replaceAll('!', '/')}`;

export async function nameIn(folder: string): Promise<BlockName | undefined> {
  const number = await readText(join(folder, 'dev'));
  return number === undefined ? undefined : { number, path: pathOf(basename(folder)), folder };
}

export async function blockName(number: string): Promise<BlockName | undefined> {
  const folder = await realpath(`/sys/dev/block/${number}`).catch(() => undefined);
  return folder === undefined ? undefined : nameIn(folder);
}

/** Undefined where sysfs does not know the device. */
export async function blockSizeBytes(number: string): Promise<number | undefined> {
  const sectors = await readText(`/sys/dev/block/${number}/size`);
  return sectors === undefined ? undefined : Number(sectors) * sysfsSectorBytes;
}

/** The device itself first, then those that share its bytes: its partitions, or for a partition the whole disk. */
export async function relatedDevices(number: string): Promise<BlockName[]> {
  const own = await blockName(number);
  if (own === undefined) return [];
  const related: BlockName[] = [own];
  const isPartition = (await readText(join(own.folder, 'partition'))) !== undefined;
  const folders = isPartition ? [dirname(own.folder)] : await partitionFolders(own.folder);
  for (const folder of folders) {
    const name = await nameIn(folder);
    if (name !== undefined) related.push(name);
  }
  return related;
}

async function partitionFolders(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await namesIn(folder)).sort()) {
    if ((await readText(join(folder, name, 'partition'))) !== undefined) found.push(join(folder, name));
  }
  return found;
}

/** Devices stacked on this one (device mapper, RAID, caches). */
export const holdersOf = async (name: BlockName): Promise<string[]> =>
  (await namesIn(join(name.folder, 'holders'))).sort().map(pathOf);
