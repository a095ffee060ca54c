/** Runs programs of the system for the connectors: iscsiadm, multipath, lvs, nvme, rbd and their like.
 *  Promises: no shell, no locale, a fixed search path; each run has a time limit and ends with the daemon; what it prints is kept up
 *  to a limit, and given back whole on failure. Nothing secret may be among the words: every user of the host can read them. */

import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { KiB } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';

export interface ToolOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** What it reads from stdin. */
  readonly input?: string;
}

export interface ToolRun {
  /** null where it was ended by a signal or by the time limit. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  /** The last line it complained with, or how it ended: for messages. */
  readonly complaint: string;
}

export interface Tools {
  /** Any status is an answer; TOOL_MISSING where there is no such program. */
  run(program: string, words: readonly string[], options?: ToolOptions): Promise<ToolRun>;
  /** What it prints, where it ends with 0; else TOOL_FAILED with everything that it said. */
  output(program: string, words: readonly string[], options?: ToolOptions): Promise<string>;
  /** The full path, or undefined. */
  find(program: string): Promise<string | undefined>;
}

const searched = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const environment = { PATH: searched.join(':'), LC_ALL: 'C' } as const;
const defaultTimeoutMs = 60_000;
const outputBytesMax = 1024 * KiB;

async function find(program: string): Promise<string | undefined> {
  for (const folder of searched) {
    const path = join(folder, program);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

function start(path: string, words: readonly string[], options: ToolOptions): Promise<ToolRun> {
  const { timeoutMs = defaultTimeoutMs, signal, input = '' } = options;
  return new Promise((resolve, reject) => {
    const limits = { encoding: 'utf8', timeout: timeoutMs, killSignal: 'SIGKILL' } as const;
    const child = execFile(
      'setpriv',
      ['--pdeathsig', 'KILL', '--', path, ...words],
      { ...limits, maxBuffer: outputBytesMax, env: environment, ...(signal === undefined ? {} : { signal }) },
      (thrown, stdout, stderr) => {
        if (signal?.aborted === true) return reject(signal.reason);
        const status = thrown === null ? 0 : typeof thrown.code === 'number' ? thrown.code : null;
        const timedOut = thrown !== null && thrown.killed === true && status === null;
        const ended = timedOut ? `it did not end within ${timeoutMs / 1000} s` : (thrown?.message ?? '');
        const complaint = timedOut ? ended : lastLine(stderr) || lastLine(stdout) || ended;
        resolve({ status, stdout, stderr, timedOut, complaint });
      },
    );
    // A program that does not read its input is fine.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

async function run(program: string, words: readonly string[], options: ToolOptions = {}): Promise<ToolRun> {
  const path = await find(program);
  if (path === undefined) {
    throw new Fault('TOOL_MISSING', `Cannot run "${program}": it is not on this host`, {
      details: { program },
    });
  }
  return start(path, words, options);
}

async function output(program: string, words: readonly string[], options?: ToolOptions): Promise<string> {
  const ended = await run(program, words, options);
  if (ended.status === 0) return ended.stdout;
  const { status, stdout, stderr, complaint } = ended;
  throw new Fault('TOOL_FAILED', `"${[program, ...words].join(' ')}" failed: ${complaint}`, {
    details: { program, words, status, stdout, stderr },
  });
}

export const systemTools: Tools = { run, output, find };
