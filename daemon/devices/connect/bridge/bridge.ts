/** Shows an export or an image as one plain file, by a program in user space, until it is closed again.
 *  Promises: journaled before the file is made, and again with the process before it is waited for; `closeBridge` takes what was
 *  journaled, whole or not, and may be repeated; a server that stops to answer gives its readers an error in set time.
 *  Knows nothing of what is shown. */

import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { Fault } from '../../../base/faults.ts';
import { mountedAt } from '../../../base/mount-table.ts';
import type { ConnectContext } from '../connector.ts';
import { remedyIn } from '../remedies.ts';
import type { Tools } from '../tools.ts';
import { attachFailed, deviceBusy, deviceFailed, deviceLeft } from '../trouble.ts';
import { endProcess, isRunning, killProcess, type LastingProcess, startLasting } from './lasting-process.ts';
import { type BridgeProgram, type BridgeSource, bridgePrograms, bridgeWords } from './programs.ts';
import { type StallLimits, stallLimits, startWatch, stopWatch } from './stall-watch.ts';

export const bridgeShape = z.object({
  /** What is mounted over an empty file of this name. */
  file: z.string(),
  program: z.enum(bridgePrograms),
  process: z.object({ pid: z.number(), startedAt: z.string() }).nullable(),
});
export type BridgeBuilt = z.infer<typeof bridgeShape>;

export interface BridgeOptions {
  /** For messages. */
  readonly what: string;
  readonly source: BridgeSource;
  readonly context: Pick<ConnectContext, 'tools' | 'folder' | 'signal' | 'policy' | 'note'>;
  readonly limits?: StallLimits;
  journal(built: BridgeBuilt): Promise<void>;
}

const endGraceMs = 5_000;
const unmountTimeoutMs = 10_000;
const unmountTries = 10;
const unmountPauseMs = 100;
const pollMs = 20;

async function choose(tools: Pick<Tools, 'find'>, what: string): Promise<BridgeProgram> {
  for (const program of bridgePrograms) if ((await tools.find(program)) !== undefined) return program;
  throw new Fault(
    'TOOL_MISSING',
    `Cannot attach "${what}": this host has none of ${bridgePrograms.join(', ')}`,
    { hint: 'Install one of them: apt install libnbd-bin, or: apt install qemu-system-common' },
  );
}

/** Waits until the file is there, and says its size. */
async function waitForFile(options: BridgeOptions, file: string, running: LastingProcess): Promise<number> {
  const { context, what } = options;
  const until = performance.now() + context.policy.timeoutMs;
  let ended: string | undefined;
  void running.ended.then((why) => {
    ended = why;
  });
  for (;;) {
    context.signal.throwIfAborted();
    if (ended !== undefined) throw attachFailed(what, ended, undefined, remedyIn(ended));
    if ((await mountedAt(file)) !== undefined) return (await stat(file)).size;
    if (performance.now() > until)
      throw attachFailed(what, `it did not show up within ${context.policy.timeoutMs / 1000} s`);
    await sleep(pollMs);
  }
}

async function startProgram(
  { context, source }: BridgeOptions,
  program: BridgeProgram,
  file: string,
): Promise<LastingProcess> {
  const words = bridgeWords(program, source, file);
  const socket = program === 'qemu-storage-daemon' ? await source.served?.dial() : undefined;
  try {
    return await startLasting(context.tools, program, words, socket);
  } finally {
    socket?.destroy();
  }
}

/** What is journaled last is what it resolves with; where it throws, the caller closes what it has journaled. */
export async function openBridge(options: BridgeOptions): Promise<BridgeBuilt & { sizeBytes: number }> {
  const { context, what, limits = stallLimits } = options;
  const program = await choose(context.tools, what);
  const file = join(context.folder, 'disk');
  await options.journal({ file, program, process: null });
  await writeFile(file, '', { mode: 0o600 });
  const running = await startProgram(options, program, file);
  const built = { file, program, process: running.mark };
  try {
    await options.journal(built);
    // Before the first look at the file, which may hang as well as any other.
    startWatch(context.tools, file, () => killProcess(running.mark), limits);
    return { ...built, sizeBytes: await waitForFile(options, file, running) };
  } catch (thrown) {
    // The mount is in the journal; the process may not have got there.
    await endProcess(running.mark, endGraceMs);
    throw thrown;
  }
}

/** DEVICE_FAILED where the file is not there any more, else its size. */
export async function bridgeSize(what: string, built: BridgeBuilt): Promise<number> {
  const running = built.process !== null && (await isRunning(built.process));
  if (!running) throw deviceFailed(what, 'the program that shows it has ended');
  if ((await mountedAt(built.file)) === undefined) throw deviceFailed(what, 'it is not mounted any more');
  return stat(built.file).then(
    ({ size }) => size,
    (thrown: unknown) => {
      throw deviceFailed(what, thrown instanceof Error ? thrown.message : String(thrown));
    },
  );
}

/** False where it is in use, and not just by one look of the watch. */
async function unmountUnused(tools: Tools, file: string): Promise<boolean> {
  for (let tries = 1; (await mountedAt(file)) !== undefined; tries += 1) {
    const ended = await tools.run('umount', ['--no-canonicalize', file], { timeoutMs: unmountTimeoutMs });
    if (ended.status === 0 || !/busy/.test(ended.stderr)) return true;
    if (tries === unmountTries) return false;
    await sleep(unmountPauseMs);
  }
  return true;
}

/** DEVICE_BUSY, and nothing is changed, while somebody has the file open. */
export async function closeBridge(
  what: string,
  { file, process }: BridgeBuilt,
  { tools }: Pick<ConnectContext, 'tools'>,
): Promise<void> {
  const answering = process !== null && (await isRunning(process));
  if (answering && !(await unmountUnused(tools, file))) throw deviceBusy(what, ['somebody has it open']);
  stopWatch(file);
  const left: string[] = [];
  if (process !== null && !(await endProcess(process, endGraceMs))) left.push(`process ${process.pid}`);
  // What a killed program has left mounted answers nobody any more.
  if ((await mountedAt(file)) !== undefined)
    await tools.run('umount', ['--no-canonicalize', '--lazy', file], { timeoutMs: unmountTimeoutMs });
  if ((await mountedAt(file)) !== undefined) left.push(`mount "${file}"`);
  if (left.length > 0) throw deviceLeft(what, left, `there is still ${left.join(', ')}`);
  await rm(file, { force: true });
}
