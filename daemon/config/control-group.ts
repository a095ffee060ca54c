/** How much memory the control groups allow that this process is in, by either version of them. Source: cgroups(7).
 *  Promises: the limits of the groups around its own count too; what can't be read limits nothing. */

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Bytes; Infinity where nothing limits. `groups`: what /proc/self/cgroup says; `root`: where the groups are mounted. */
export async function controlGroupMemory(groups?: string, root = '/sys/fs/cgroup'): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (const line of (groups ?? (await read('/proc/self/cgroup'))).split('\n')) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === '') continue;
    if (controllers === '')
      least = Math.min(least, await leastUpFrom(root, path, ['memory.max', 'memory.high']));
    else if (controllers.split(',').includes('memory'))
      least = Math.min(least, await leastUpFrom(join(root, 'memory'), path, ['memory.limit_in_bytes']));
  }
  return least;
}

/** A group has what is left to it by all groups that it is in. */
async function leastUpFrom(root: string, path: string, files: readonly string[]): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let group = path; ; group = dirname(group)) {
    for (const file of files) {
      const limit = Number.parseInt(await read(join(root, group, file)), 10);
      if (limit > 0) least = Math.min(least, limit);
    }
    if (group === dirname(group)) return least;
  }
}

const read = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
