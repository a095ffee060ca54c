/** A process that writes to a device all the time, past all caches, each write after the one before it: what is on the device at any
 *  one moment is all writes up to one of them, and nothing of those after it.
 *  Promises: it ends with its test. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';

const blockBytes = 4096;
/** Odd, so that every block of a power of two has its turn. */
const stride = 5003;

const script = [
  'import mmap, os, sys',
  'path, blocks, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])',
  'import time',
  'disk = os.open(path, os.O_WRONLY | os.O_DIRECT)',
  'page = mmap.mmap(-1, 4096)',
  'number = 0',
  'while True:',
  '    number += 1',
  '    page[:] = number.to_bytes(8, "little") * 512',
  `    os.pwritev(disk, [page], number * ${stride} % blocks * 4096)`,
  '    if number == 64: print("writes", flush=True)',
  '    if pause > 0: time.sleep(pause)',
].join('\n');

export interface Writer {
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

/** `sizeBytes`: a power of two. */
export async function startWriter(device: string, sizeBytes: number, pauseSeconds = 0): Promise<Writer> {
  const words = ['-c', script, device, String(sizeBytes / blockBytes), String(pauseSeconds)];
  const child = spawn('/usr/bin/python3', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = (): Promise<void> => {
    child.kill('SIGKILL');
    return ended;
  };
  onTestFinished(stop);
  await new Promise<void>((resolve, reject) => {
    createInterface(child.stdout).once('line', () => resolve());
    child.once('exit', () => reject(new Error('the writer has ended')));
  });
  return { child, stop };
}

/** How many writes the bytes hold; fails where they are not of one moment. */
export function momentOf(bytes: Buffer): number {
  const blocks = bytes.length / blockBytes;
  const found = Array.from({ length: blocks }, (_none, block) => {
    const begin = block * blockBytes;
    const number = Number(bytes.readBigUInt64LE(begin));
    if (bytes.readBigUInt64LE(begin + blockBytes - 8) !== BigInt(number))
      throw new Error(`block ${block} is torn`);
    return number;
  });
  const last = found.reduce((one, other) => Math.max(one, other), 0);
  const wanted = Array.from({ length: blocks }, () => 0);
  for (let number = Math.max(1, last - blocks + 1); number <= last; number += 1)
    wanted[(number * stride) % blocks] = number;
  wanted.forEach((number, block) => {
    if (found[block] !== number)
      throw new Error(
        `of ${last} writes block ${block} should have number ${number}, and has ${found[block]}`,
      );
  });
  return last;
}
