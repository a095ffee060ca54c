/** Who keeps a mount busy: processes with files or folders of it open, and what else the kernel holds there. Source: proc(5).
 *  Promises: touches nothing that is mounted, so that a dead file system can't hold it up; what it can't look at, it leaves out.
 *  Does not see processes of other process namespaces. */

import { readdir, readFile, readlink } from 'node:fs/promises';
import { usesShownMax } from '../base/limits.ts';
import { type MountEntry, readMountTable } from '../base/mount-table.ts';
import { isWithin } from '../base/paths.ts';

export interface Holder {
  /** 0: the kernel. */
  readonly pid: number;
  readonly command: string;
  readonly uses: readonly string[];
}

/** Uses of one process that are told. */
const usesEachMax = 4;

const orNothing = <T>(promise: Promise<T>): Promise<T | undefined> => promise.catch(() => undefined);

/** At most `usesShownMax`, in the order of their ids. */
export async function findHolders(mount: MountEntry): Promise<Holder[]> {
  const holders = await kernelHolders(mount.directory);
  const names = await readdir('/proc');
  for (const pid of names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b)) {
    if (holders.length >= usesShownMax) break;
    const uses = await usesOf(pid, mount);
    if (uses.length === 0) continue;
    const command = (await orNothing(readFile(`/proc/${pid}/comm`, 'utf8')))?.trim() ?? 'gone';
    holders.push({ pid, command, uses: uses.slice(0, usesEachMax) });
  }
  return holders;
}

export const describeHolder = ({ pid, command, uses }: Holder): string =>
  `${pid === 0 ? command : `process ${pid} "${command}"`} (${uses.join(', ')})`;

async function usesOf(pid: number, mount: MountEntry): Promise<string[]> {
  const { directory } = mount;
  const place = async (name: string, what: string) => {
    const path = await orNothing(readlink(`/proc/${pid}/${name}`));
    return path !== undefined && isWithin(path, directory) ? `${what} "${path}"` : undefined;
  };
  const descriptors = (await orNothing(readdir(`/proc/${pid}/fd`))) ?? [];
  const uses = await Promise.all([
    place('cwd', 'working folder'),
    place('root', 'root folder'),
    ...descriptors.map((descriptor) => openUse(pid, descriptor, mount)),
  ]);
  const maps = (await orNothing(readFile(`/proc/${pid}/maps`, 'utf8'))) ?? '';
  const mapped = maps.includes(directory)
    ? maps.split('\n').map((line) => line.slice(line.indexOf('/')))
    : [];
  for (const path of new Set(mapped)) if (isWithin(path, directory)) uses.push(`mapped "${path}"`);
  return uses.filter((use) => use !== undefined);
}

async function openUse(pid: number, descriptor: string, mount: MountEntry): Promise<string | undefined> {
  const path = await orNothing(readlink(`/proc/${pid}/fd/${descriptor}`));
  if (path === undefined || !isWithin(path, mount.directory)) return undefined;
  // The kernel's word counts where there is one: the path may be that of another mount at the same place.
  const text = await orNothing(readFile(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8'));
  const mountId = /^mnt_id:\s*(\d+)/m.exec(text ?? '')?.[1];
  return mountId === undefined || Number(mountId) === mount.id ? `open "${path}"` : undefined;
}

/** Mounts on top of it, and loop devices over its files. */
async function kernelHolders(directory: string): Promise<Holder[]> {
  const holders: Holder[] = [];
  const below = (await readMountTable()).filter(
    (entry) => entry.directory !== directory && isWithin(entry.directory, directory),
  );
  if (below.length > 0)
    holders.push({
      pid: 0,
      command: 'the kernel',
      uses: below.map((entry) => `mounted at "${entry.directory}"`),
    });
  for (const name of (await orNothing(readdir('/sys/block'))) ?? []) {
    if (!/^loop\d+$/.test(name)) continue;
    const file = (await orNothing(readFile(`/sys/block/${name}/loop/backing_file`, 'utf8')))?.trim();
    if (file !== undefined && isWithin(file, directory))
      holders.push({ pid: 0, command: 'the kernel', uses: [`"/dev/${name}" over "${file}"`] });
  }
  return holders.slice(0, usesShownMax);
}
