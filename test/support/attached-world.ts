/** What tests of attached volumes share: NBD servers over files, and what of an attachment may be left on this host.
 *  Promises: nothing outlives the test. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon } from './daemon.ts';

/** Processes that have the folder among their words, and files in it. */
export function heldBelow(folder: string): string[] {
  const processes = readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(folder);
    } catch {
      return false;
    }
  });
  return [...processes.map((pid) => `process ${pid}`), ...(existsSync(folder) ? readdirSync(folder) : [])];
}

/** Mounts, processes and files of attachments of the daemon. */
export function leftOf(daemon: Daemon): string[] {
  const folder = join(daemon.stateDir, 'attached');
  return [...daemon.mounts().filter((path) => path.startsWith(folder)), ...heldBelow(folder)];
}
