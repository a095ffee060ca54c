/** Other processes that have a file or device open, or a file mapped, for writing. Source: proc(5), /proc/pid/fd, fdinfo and maps.
 *  Promises: never touches a file that can't be the one in question, so that a file server that does not answer can't hold it up.
 *  Does not see processes of other process namespaces, nor those it may not look at. */

import { readText, statOf } from './block-names.ts';
import { identityKey, identityOf } from './locate.ts';
import type { DeviceParts } from './open-checked.ts';

export interface Writer {
  readonly pid: number;
  readonly command: string;
  /** Which of the wanted ones it has open. */
  readonly key: string;
}

export interface Wanted {
  /** As `identityKey` makes them. */
  readonly keys: ReadonlySet<string>;
  /** The inode number the kernel shows for a descriptor of the file, empty where it shows none; undefined for devices, which have
   *  many nodes. */
  readonly kernelInode: string | undefined;
}

/** The inode number in what the kernel says of a descriptor. */
export const inodeShown = (text: string): string | undefined => /^ino:\s*(\d+)/m.exec(text)?.[1];

/** The kernel's inode number behind one of our own descriptors. On stacked file systems it is not the one that stat shows. */
export async function kernelInodeOf(fd: number): Promise<string | undefined> {
  return inodeShown((await readText(`/proc/self/fdinfo/${fd}`)) ?? '');
}

/** One entry a process and key, in no promised order. */
export async function findWriters({ native }: DeviceParts, wanted: Wanted): Promise<Writer[]> {
  const writers = new Map<string, Writer>();
  for (const descriptor of await native.writableDescriptors(wanted.kernelInode)) {
    const [owner = ''] = descriptor.split('/');
    const stats = await statOf(`/proc/${descriptor}`);
    const key = stats === undefined ? undefined : identityKey(identityOf(stats));
    const known = `${owner} ${key}`;
    if (key === undefined || !wanted.keys.has(key) || writers.has(known)) continue;
    const command = (await readText(`/proc/${owner}/comm`)) ?? 'gone';
    writers.set(known, { pid: Number(owner), command, key });
  }
  return [...writers.values()];
}
