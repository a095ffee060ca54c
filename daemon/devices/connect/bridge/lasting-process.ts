/** Programs that go on running while a device is attached.
 *  Promises: each ends when the daemon ends; a process is told apart from a later one with the same number by the moment of its start,
 *  so that nothing is ever ended that was not started here. Source: proc_pid_stat(5), fields 3 and 22. */

import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { KiB } from '../../../base/bytes.ts';
import { Fault } from '../../../base/faults.ts';
import type { Tools } from '../tools.ts';
import { toolMissing } from '../trouble.ts';

/** One process of all times since the boot; as JSON, it may be journaled. */
export type ProcessMark = {
  readonly pid: number;
  /** Ticks since the boot. */
  readonly startedAt: string;
};

export interface LastingProcess {
  readonly mark: ProcessMark;
  /** Resolves when it has ended, with the last thing it said. */
  readonly ended: Promise<string>;
}

const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' } as const;
const saidBytesMax = 4 * KiB;
const pollMs = 20;

/** State and start of a process; undefined where there is none. */
async function look(pid: number): Promise<{ state: string; startedAt: string } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  // The name stands in parentheses, and may hold some itself.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, startedAt] = [fields?.[0], fields?.[19]];
  return state === undefined || startedAt === undefined ? undefined : { state, startedAt };
}

export async function isRunning({ pid, startedAt }: ProcessMark): Promise<boolean> {
  const seen = await look(pid);
  return seen !== undefined && seen.startedAt === startedAt && seen.state !== 'Z' && seen.state !== 'X';
}

async function waitForEnd(mark: ProcessMark, limitMs: number): Promise<boolean> {
  const until = performance.now() + limitMs;
  while (await isRunning(mark)) {
    if (performance.now() > until) return false;
    await sleep(pollMs);
  }
  return true;
}

async function send(mark: ProcessMark, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (!(await isRunning(mark))) return;
  try {
    process.kill(mark.pid, signal);
  } catch {
    // It has just ended by itself.
  }
}

export const killProcess = (mark: ProcessMark): Promise<void> => send(mark, 'SIGKILL');

/** First asks it to end, then makes it. False where it is still there. */
export async function endProcess(mark: ProcessMark, graceMs: number): Promise<boolean> {
  await send(mark, 'SIGTERM');
  if (await waitForEnd(mark, graceMs)) return true;
  await send(mark, 'SIGKILL');
  return waitForEnd(mark, graceMs);
}

/** `given`: becomes the first descriptor of the program after stderr. */
export async function startLasting(
  tools: Pick<Tools, 'find'>,
  program: string,
  words: readonly string[],
  given?: Socket,
): Promise<LastingProcess> {
  const path = await tools.find(program);
  if (path === undefined) throw toolMissing(program);
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', path, ...words], {
    stdio: ['ignore', 'ignore', 'pipe', ...(given === undefined ? [] : [given])],
    // What ends the daemon from a terminal must not end it before the daemon has let go of the device.
    detached: true,
    env: environment,
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-saidBytesMax);
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (thrown) => resolve(thrown.message));
    child.once('close', (status, signal) => {
      const how = signal === null ? `it ended with status ${status}` : `it was ended by ${signal}`;
      resolve(said.trim().split('\n').at(-1) || how);
    });
  });
  child.unref();
  const { pid } = child;
  const seen = pid === undefined ? undefined : await look(pid);
  if (pid === undefined || seen === undefined)
    throw new Fault('TOOL_FAILED', `Cannot run "${program}": ${await ended}`);
  return { mark: { pid, startedAt: seen.startedAt }, ended };
}
