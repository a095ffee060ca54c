/** What every test of this folder stands on: it is inside of a machine of ours, whose kernel it may bend as it likes. */

import { execFileSync } from 'node:child_process';

export type Machine = 'uml' | 'qemu';

/** Where the test runs; elsewhere than in a machine of ours nothing of it may run. */
export function machine(): Machine {
  const name = process.env['BASALT_GUEST'];
  if (name === 'uml' || name === 'qemu') return name;
  throw new Error('this runs inside of a guest only: make test-guest-short');
}

/** Loads modules of the kernel by their names. */
export const modprobe = (...names: readonly string[]): void => {
  execFileSync('modprobe', ['--all', ...names], { stdio: 'pipe' });
};
