/** Runs a program of the operator with something on its stdin, and waits for its end.
 *  Promises: never rejects; no shell; it, and what it has started, ends after the time limit and when it is cancelled; the program
 *  itself ends with the daemon, too. What it writes is not kept: it may hold secrets. Knows nothing of what the program is for. */

import { spawn } from 'node:child_process';

export interface ProgramRun {
  /** null where it was ended by a signal, or could not be run. */
  readonly exitStatus: number | null;
  readonly timedOut: boolean;
  readonly milliseconds: number;
}

export interface ProgramOptions {
  readonly input: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Where programs are looked for, whatever the environment of the daemon says. */
export const programFolders = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
] as const;
export const programPath = programFolders.join(':');

/** `words`: the program and its arguments. */
export function runProgram(words: readonly string[], options: ProgramOptions): Promise<ProgramRun> {
  const { input, timeoutMs, signal } = options;
  const startedAtMs = performance.now();
  return new Promise((resolve) => {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...words], {
      stdio: ['pipe', 'ignore', 'ignore'],
      // A group of its own, so that what it has started is ended with it.
      detached: true,
      env: { PATH: programPath },
    });
    let timedOut = false;
    const end = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has just ended by itself.
      }
    };
    const timer = setTimeout(() => {
      timedOut = true;
      end();
    }, timeoutMs);
    signal?.addEventListener('abort', end, { once: true });
    const settle = (exitStatus: number | null) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve({ exitStatus, timedOut, milliseconds: Math.round(performance.now() - startedAtMs) });
    };
    child.once('error', () => settle(null));
    child.once('exit', settle);
    // A program that does not read its input is fine.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    if (signal?.aborted === true) end();
  });
}
