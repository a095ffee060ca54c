/** Runs a program of the system whose output may be as large as it likes, and gives it line by line.
 *  Promises: as `tools.ts` gives them for programs of small output; memory is bounded by one line; who stops listening, or whose signal
 *  says so, ends the program; lines count only where the last of them was given without a fault. */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { unlessAborted } from '../../base/abort.ts';
import { KiB } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';
import { systemTools, toolEnvironment } from './tools.ts';

export interface LinesOptions {
  readonly timeoutMs: number;
  /** Most address space that the program may take; it fails where it needs more. */
  readonly memoryBytes: number;
  readonly signal: AbortSignal;
}

/** TOOL_FAILED, after all lines, where the program failed; TOOL_MISSING. */
export type ToolLines = (
  program: string,
  words: readonly string[],
  options: LinesOptions,
) => AsyncIterable<string>;

const lineLengthMax = 4 * KiB;
const complaintLengthMax = 4 * KiB;

export const systemLines: ToolLines = async function* linesOf(
  program,
  words,
  { timeoutMs, memoryBytes, signal },
) {
  const path = await systemTools.find(program);
  if (path === undefined)
    throw new Fault('TOOL_MISSING', `Cannot run "${program}": it is not on this host`, {
      details: { program },
    });
  signal.throwIfAborted();
  const limits = ['prlimit', `--as=${memoryBytes}`, '--'];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...limits, path, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: toolEnvironment,
  });
  const limit = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, limit]);
  const stop = () => {
    child.kill('SIGKILL');
    // What can't be killed keeps its end of the pipe: nobody waits for it.
    child.stdout.destroy();
  };
  either.addEventListener('abort', stop, { once: true });
  const complaint = complaintOf(child.stderr);
  const ended = endOf(child);
  try {
    yield* splitLines(child.stdout);
    const status = await unlessAborted(ended, either);
    if (status === undefined) throw either.reason;
    if (status !== 0) throw failed(program, words, complaint() || `status ${status}`);
  } catch (thrown) {
    signal.throwIfAborted();
    if (limit.aborted) throw failed(program, words, `it did not end within ${timeoutMs / 1000} s`);
    throw thrown;
  } finally {
    either.removeEventListener('abort', stop);
    stop();
  }
};

const failed = (program: string, words: readonly string[], why: string): Fault =>
  new Fault('TOOL_FAILED', `"${program}" failed: ${why}`, { details: { program, words } });

async function* splitLines(stream: Readable): AsyncIterable<string> {
  let rest = '';
  stream.setEncoding('latin1');
  for await (const piece of stream) {
    const lines = (rest + String(piece)).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > lineLengthMax) throw new Fault('TOOL_FAILED', 'A program prints lines without an end');
    yield* lines;
  }
  if (rest !== '') yield rest;
}

/** What it said first, once it has ended. */
function complaintOf(stream: Readable): () => string {
  let text = '';
  stream.setEncoding('utf8');
  stream.on('error', () => undefined);
  stream.on('data', (piece: string) => {
    if (text.length < complaintLengthMax) text += piece;
  });
  return () => text.trim().split('\n')[0]?.slice(0, 300).trim() ?? '';
}

/** null where a signal has ended it, or it could not be begun. */
const endOf = (child: ChildProcessByStdio<null, Readable, Readable>): Promise<number | null> =>
  new Promise((resolve) => {
    child.once('error', () => resolve(null));
    child.once('close', (status) => resolve(status));
  });
