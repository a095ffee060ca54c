/** Multipath maps as sysfs shows them.
 *  Promises: a map is found by its UUID, "mpath-" and the WWID, and by nothing else: whatever else stands on a disk is not taken for
 *  one. Only reads. */

import { basename, join } from 'node:path';
import { namesIn, readText } from '../../block-names.ts';
import type { SystemFolders } from '../connector.ts';

export interface MultipathMap {
  readonly name: string;
  readonly wwid: string;
  /** "dm-3" */
  readonly node: string;
  /** "/dev/dm-3" */
  readonly device: string;
  /** "253:3" */
  readonly number: string;
  readonly folder: string;
  /** "sda", "sdb" */
  readonly disks: readonly string[];
}

const prefix = 'mpath-';

async function mapIn(folders: SystemFolders, node: string): Promise<MultipathMap | undefined> {
  const folder = join(folders.sys, 'block', node);
  const uuid = (await readText(join(folder, 'dm/uuid'))) ?? '';
  const [name, number] = [await readText(join(folder, 'dm/name')), await readText(join(folder, 'dev'))];
  if (!uuid.startsWith(prefix) || name === undefined || number === undefined) return undefined;
  const disks = (await namesIn(join(folder, 'slaves'))).sort();
  return {
    name,
    wwid: uuid.slice(prefix.length),
    node,
    device: join(folders.dev, node),
    number,
    folder,
    disks,
  };
}

export async function mapOf(folders: SystemFolders, wwid: string): Promise<MultipathMap | undefined> {
  for (const node of (await namesIn(join(folders.sys, 'block'))).filter((name) => name.startsWith('dm-'))) {
    const map = await mapIn(folders, node);
    if (map?.wwid === wwid) return map;
  }
  return undefined;
}

/** The map that stands on a disk. */
export async function mapOver(
  folders: SystemFolders,
  disk: { readonly folder: string },
): Promise<MultipathMap | undefined> {
  for (const node of await namesIn(join(disk.folder, 'holders'))) {
    const map = await mapIn(folders, basename(node));
    if (map !== undefined) return map;
  }
  return undefined;
}
