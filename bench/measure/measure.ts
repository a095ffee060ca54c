/** Runs one piece of work and says what it took.
 *    sync, drop caches ─▶ clock, processor time ─▶ work, memory looked at all the while ─▶ sample
 *  Promises: what the bench itself takes is not counted; a command that fails ends the run with what it wrote.
 *  Knows nothing of contestants. */

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import {
  endedCpuSeconds,
  livingCpuSeconds,
  machineSeconds,
  resetPeak,
  residentBytes,
} from './process-tree.ts';
import type { Sample } from './sample.ts';

const lookEveryMs = 40;
/** Of what a failed command wrote, this much of the end is shown. */
const shownCharactersMax = 2000;

export interface CommandOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** File that the command reads. */
  readonly input?: string;
  /** File that it writes; `over`: without shortening it first. */
  readonly output?: string;
  readonly over?: boolean;
  readonly started?: (pid: number) => void;
}

const running = new Set<ChildProcess>();
let interrupted = false;

/** Ends the command that runs, and lets no other begin: then the run cleans up behind itself. */
export function interrupt(): void {
  interrupted = true;
  for (const child of running) child.kill();
}

export const wasInterrupted = (): boolean => interrupted;

/** Runs a command to its end and gives what it wrote to stdout, where that is not a file. */
export function run(words: readonly string[], options: CommandOptions = {}): Promise<string> {
  if (interrupted) return Promise.reject(new Error('interrupted'));
  const [program = '', ...rest] = words;
  const input = options.input === undefined ? undefined : openSync(options.input, 'r');
  const output =
    options.output === undefined ? undefined : openSync(options.output, options.over ? 'r+' : 'w');
  const settings: SpawnOptions = {
    stdio: [input ?? 'ignore', output ?? 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', ...options.environment },
  };
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, settings);
    for (const fd of [input, output]) if (fd !== undefined) closeSync(fd);
    running.add(child);
    child.once('close', () => running.delete(child));
    if (child.pid !== undefined) options.started?.(child.pid);
    let printed = '';
    let complaints = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaints = (complaints + text).slice(-shownCharactersMax);
    });
    child.once('error', reject);
    child.once('close', (status, signal) => {
      if (status === 0) resolve(printed);
      else reject(new Error(`"${words.join(' ')}" ended with ${signal ?? status}:\n${complaints}`));
    });
  });
}

let measuredSeconds = 0;
let otherCpuSeconds = 0;
let takenSeconds = 0;

/** How much of a processor, on average, worked for something else than what was measured: other programs, the bench
 *  itself, and the kernel's own threads. */
export const othersLoad = (): number => otherCpuSeconds / measuredSeconds;

/** How much of a processor, on average, the host of this virtual machine took while something was measured. */
export const takenByHost = (): number => takenSeconds / measuredSeconds;

let cachesDropped: boolean | undefined;

/** Whether the page cache was emptied before each measurement; undefined before the first. */
export const cachesWereDropped = (): boolean | undefined => cachesDropped;

async function settle(): Promise<void> {
  await run(['sync']);
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '1');
    cachesDropped ??= true;
  } catch {
    cachesDropped = false;
  }
}

/** Measures `work`, which names the processes that it starts or uses. Living ones are those that stay alive after it. */
export async function measure(
  bytes: number,
  living: readonly number[],
  work: (started: (pid: number) => void) => Promise<unknown>,
): Promise<Sample> {
  await settle();
  living.forEach(resetPeak);
  const roots = new Set(living);
  let peakRssBytes = 0;
  const look = () => {
    const sum = [...roots].reduce((sum, pid) => sum + residentBytes(pid), 0);
    peakRssBytes = Math.max(peakRssBytes, sum);
  };
  const cpuSeconds = () => endedCpuSeconds() + living.reduce((sum, pid) => sum + livingCpuSeconds(pid), 0);
  // Often at first, so that what ends soon is seen at all.
  let timer: NodeJS.Timeout | undefined;
  const lookAgain = (afterMs: number) => {
    timer = setTimeout(() => {
      look();
      lookAgain(Math.min(lookEveryMs, afterMs * 2));
    }, afterMs);
  };
  lookAgain(1);
  try {
    const cpuBefore = cpuSeconds();
    const machineBefore = machineSeconds();
    const begin = performance.now();
    await work((pid) => {
      roots.add(pid);
      look();
    });
    const seconds = (performance.now() - begin) / 1000;
    look();
    const cpuTaken = cpuSeconds() - cpuBefore;
    measuredSeconds += seconds;
    const machineNow = machineSeconds();
    takenSeconds += machineNow.takenByHost - machineBefore.takenByHost;
    otherCpuSeconds += Math.max(0, machineNow.worked - machineBefore.worked - cpuTaken);
    return { seconds, cpuSeconds: cpuTaken, peakRssBytes, bytes };
  } finally {
    clearTimeout(timer);
  }
}

/** Measures one command. */
export function measureCommand(
  bytes: number,
  words: readonly string[],
  options: CommandOptions = {},
): Promise<Sample> {
  return measure(bytes, [], (started) => run(words, { ...options, started }));
}

/** The last word of the line of a file under /proc that begins with `field`. */
export function procField(path: string, field: string): string {
  const line = readFileSync(path, 'utf8')
    .split('\n')
    .find((line) => line.startsWith(field));
  return line?.slice(line.indexOf(':') + 1).trim() ?? 'unknown';
}
