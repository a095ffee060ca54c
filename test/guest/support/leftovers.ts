/** What attachments leave on a host when something went wrong, asked of everything that could know of it. */

import { existsSync, readdirSync } from 'node:fs';
import { run } from '../../support/devices.ts';

const linesOf = (program: string, ...words: readonly string[]): string[] => {
  try {
    return run(program, ...words)
      .split('\n')
      .filter((line) => line.trim() !== '');
  } catch (thrown) {
    // iscsiadm says by a status of 21 that there is nothing, and without the module of SCSI there is no folder.
    if (thrown instanceof Error && 'status' in thrown && thrown.status === 21) return [];
    throw thrown;
  }
};

export interface Leftovers {
  readonly sessions: readonly string[];
  readonly nodes: readonly string[];
  readonly maps: readonly string[];
  readonly disks: readonly string[];
  /** Of NVMe over fabrics, also those that show nothing. */
  readonly controllers: readonly string[];
  readonly mapped: readonly string[];
  readonly loops: readonly string[];
  readonly mounts: readonly string[];
}

const named = (folder: string, pattern: RegExp): string[] =>
  existsSync(folder) ? readdirSync(folder).filter((name) => pattern.test(name)) : [];

/** Everything of this machine that an attachment could have made; compare it before and after. */
export const leftovers = (): Leftovers => ({
  sessions: linesOf('iscsiadm', '--mode', 'session'),
  nodes: linesOf('iscsiadm', '--mode', 'node'),
  maps: linesOf('multipath', '-ll', '-v1'),
  disks: named('/sys/block', /^(sd|nvme|rbd)/).sort(),
  controllers: named('/sys/class/nvme', /^nvme/).sort(),
  mapped: linesOf('dmsetup', 'ls')
    .filter((line) => line !== 'No devices found')
    .sort(),
  loops: linesOf('losetup', '--all', '--noheadings', '--output', 'NAME,BACK-FILE').sort(),
  mounts: linesOf('findmnt', '--noheadings', '--list', '--output', 'TARGET').sort(),
});
