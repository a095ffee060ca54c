/** Runs programs of the system for the connectors: iscsiadm, multipath, lvs, nvme, rbd and their like.
 *  Promises: no shell, no locale, a fixed search path; each run has a time limit and ends with the daemon, unless it asks for its own
 *  end; what it prints is kept up to a limit, and given back whole on failure. Nothing secret may be among the words: every user of the host can read them. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { access, constants, type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KiB } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';
import { programFolders, programPath } from '../../base/program.ts';
import { remedyIn } from './remedies.ts';
import { toolMissing } from './trouble.ts';

export interface ToolOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** What it reads from stdin. */
  readonly input?: string;
  /** True for what would leave a device suspended were it ended half-way: it is never ended, not even with the daemon. The time
   *  limit only ends the waiting for it; `signal` and `input` don't count. */
  readonly toTheEnd?: boolean;
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

export const toolEnvironment = { PATH: programPath, LC_ALL: 'C' } as const;
const defaultTimeoutMs = 60_000;
const outputBytesMax = 1024 * KiB;
/** What was told to end does so at once, unless a device holds it that does not answer: it can't be ended then. */
const endGraceMs = 5_000;

async function find(program: string): Promise<string | undefined> {
  for (const folder of programFolders) {
    const path = join(folder, program);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.trim() ?? '';

function start(path: string, words: readonly string[], options: ToolOptions): Promise<ToolRun> {
  const { timeoutMs = defaultTimeoutMs, signal, input = '' } = options;
  return new Promise((resolve, reject) => {
    const late = `it did not end within ${timeoutMs / 1000} s`;
    const complaint = `${late}, and can not be ended`;
    const held = { status: null, stdout: '', stderr: '', timedOut: true, complaint } as const;
    const timer = setTimeout(() => resolve(held), timeoutMs + endGraceMs);
    const limits = { encoding: 'utf8', timeout: timeoutMs, killSignal: 'SIGKILL' } as const;
    const child = execFile(
      'setpriv',
      ['--pdeathsig', 'KILL', '--', path, ...words],
      {
        ...limits,
        maxBuffer: outputBytesMax,
        env: toolEnvironment,
        ...(signal === undefined ? {} : { signal }),
      },
      (thrown, stdout, stderr) => {
        clearTimeout(timer);
        if (signal?.aborted === true) return reject(signal.reason);
        const status = thrown === null ? 0 : typeof thrown.code === 'number' ? thrown.code : null;
        const timedOut = thrown !== null && thrown.killed === true && status === null;
        const ended = timedOut ? late : (thrown?.message ?? '');
        const complaint = timedOut ? ended : lastLine(stderr) || lastLine(stdout) || ended;
        resolve({ status, stdout, stderr, timedOut, complaint });
      },
    );
    // A program that does not read its input is fine.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

/** In a session of its own. It says what it has to say to files, as a pipe that nobody reads any more would end it. */
async function startToTheEnd(
  path: string,
  words: readonly string[],
  { timeoutMs = defaultTimeoutMs }: ToolOptions,
): Promise<ToolRun> {
  const folder = await mkdtemp(join(tmpdir(), 'basalt-tool-'));
  const files = await Promise.all(['out', 'error'].map((name) => open(join(folder, name), 'wx+', 0o600)));
  await rm(folder, { recursive: true, force: true });
  try {
    const [out, error] = files.map(({ fd }) => fd);
    const stdio = ['ignore', out ?? 'ignore', error ?? 'ignore'] as const;
    const child = spawn(path, words, { stdio: [...stdio], detached: true, env: toolEnvironment });
    const status = await endOf(child, timeoutMs);
    const [stdout = '', stderr = ''] = await Promise.all(files.map(beginningOf));
    const timedOut = status === 'late';
    const ended = timedOut ? `it did not end within ${timeoutMs / 1000} s, and goes on` : `status ${status}`;
    const complaint = timedOut ? ended : lastLine(stderr) || lastLine(stdout) || ended;
    return { status: timedOut ? null : status, stdout, stderr, timedOut, complaint };
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

async function beginningOf(file: FileHandle): Promise<string> {
  const length = Math.min((await file.stat()).size, outputBytesMax);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0);
  return buffer.toString('utf8', 0, bytesRead);
}

/** Its status, null where a signal has ended it. */
function endOf(child: ChildProcess, timeoutMs: number): Promise<number | null | 'late'> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.unref();
      resolve('late');
    }, timeoutMs);
    child.once('error', reject);
    child.once('exit', (status) => {
      clearTimeout(timer);
      resolve(status);
    });
  });
}

async function run(program: string, words: readonly string[], options: ToolOptions = {}): Promise<ToolRun> {
  const path = await find(program);
  if (path === undefined) throw toolMissing(program);
  return options.toTheEnd === true ? startToTheEnd(path, words, options) : start(path, words, options);
}

async function output(program: string, words: readonly string[], options?: ToolOptions): Promise<string> {
  const ended = await run(program, words, options);
  if (ended.status === 0) return ended.stdout;
  const { status, stdout, stderr, complaint } = ended;
  const remedy = remedyIn(stderr);
  throw new Fault('TOOL_FAILED', `"${[program, ...words].join(' ')}" failed: ${complaint}`, {
    details: { program, words, status, stdout, stderr },
    ...(remedy === undefined ? {} : { hint: remedy }),
  });
}

export const systemTools: Tools = { run, output, find };
