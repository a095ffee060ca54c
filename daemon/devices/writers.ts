/** Other processes that have a file or device open for writing. Source: proc(5), /proc/pid/fd and fdinfo.
 *  Promises: never touches a file that can't be the one in question, so that a file server that does not answer can't hold it up.
 *  Does not see processes of other process namespaces, nor those it may not look at, nor memory mapped by a closed descriptor. */

import { readlink } from 'node:fs/promises';
import { namesIn, readText, statOf } from './block-names.ts';
import { identityKey, identityOf } from './locate.ts';

export interface Writer {
  readonly pid: number;
  readonly command: string;
  /** Which of the wanted ones it has open. */
  readonly key: string;
}

export interface Wanted {
  /** As `identityKey` makes them. */
  readonly keys: ReadonlySet<string>;
  /** The inode number the kernel shows for a descriptor of the file; undefined for devices, which have many nodes. */
  readonly kernelInode: string | undefined;
}

const accessMode = 0o3;
const pathOnly = 0o10000000;

interface DescriptorFacts {
  readonly writable: boolean;
  readonly inode: string | undefined;
}

export function parseDescriptor(text: string): DescriptorFacts {
  const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(text)?.[1] ?? '0', 8);
  const writable = (flags & accessMode) !== 0 && (flags & pathOnly) === 0;
  return { writable, inode: /^ino:\s*(\d+)/m.exec(text)?.[1] };
}

/** The kernel's inode number behind one of our own descriptors. On stacked file systems it is not the one that stat shows. */
export async function kernelInodeOf(fd: number): Promise<string | undefined> {
  return parseDescriptor((await readText(`/proc/self/fdinfo/${fd}`)) ?? '').inode;
}

async function keyBehind(owner: string, descriptor: string, wanted: Wanted): Promise<string | undefined> {
  const facts = parseDescriptor((await readText(`/proc/${owner}/fdinfo/${descriptor}`)) ?? '');
  if (!facts.writable) return undefined;
  const link = `/proc/${owner}/fd/${descriptor}`;
  if (wanted.kernelInode === undefined) {
    if (!(await readlink(link).catch(() => '')).includes('/dev/')) return undefined;
  } else if (facts.inode !== undefined && facts.inode !== wanted.kernelInode) {
    return undefined;
  }
  const stats = await statOf(link);
  const key = stats === undefined ? undefined : identityKey(identityOf(stats));
  return key !== undefined && wanted.keys.has(key) ? key : undefined;
}

export async function findWriters(wanted: Wanted): Promise<Writer[]> {
  const writers: Writer[] = [];
  for (const owner of (await namesIn('/proc')).filter((name) => /^\d+$/.test(name))) {
    const pid = Number(owner);
    if (pid === process.pid) continue;
    const keys = new Set<string>();
    for (const descriptor of await namesIn(`/proc/${owner}/fd`)) {
      const key = await keyBehind(owner, descriptor, wanted);
      if (key !== undefined) keys.add(key);
    }
    const command = keys.size > 0 ? ((await readText(`/proc/${owner}/comm`)) ?? 'gone') : '';
    for (const key of keys) writers.push({ pid, command, key });
  }
  return writers;
}
