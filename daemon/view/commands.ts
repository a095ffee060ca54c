/** Runs a program of the system and waits for it without holding up the daemon, which may be serving the very file that
 *  the program reads. Promises: never rejects; ends after `commandTimeoutMs`, and with the daemon: what outlived it could
 *  attach a device after the next daemon has cleaned up; no shell, no locale. */

import { execFile } from 'node:child_process';
import { commandTimeoutMs } from '../base/limits.ts';
import { programPath } from '../base/program.ts';

export interface CommandResult {
  readonly ok: boolean;
  readonly output: string;
  /** The last line that it wrote to stderr, or why it could not be run. */
  readonly complaint: string;
}

export function runCommand(program: string, ...words: readonly string[]): Promise<CommandResult> {
  const options = {
    encoding: 'utf8',
    timeout: commandTimeoutMs,
    killSignal: 'SIGKILL',
    env: { PATH: programPath, LC_ALL: 'C' },
  } as const;
  return new Promise((resolve) => {
    execFile(
      'setpriv',
      ['--pdeathsig', 'KILL', '--', program, ...words],
      options,
      (thrown, output, errors) => {
        const line = errors.trim().split('\n').at(-1) ?? '';
        resolve({ ok: thrown === null, output: output.trim(), complaint: line || (thrown?.message ?? '') });
      },
    );
  });
}
