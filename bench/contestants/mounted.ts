/** A program that serves a mount until it is ended: started, waited for, and unmounted again. */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { run } from '../measure/measure.ts';
import type { MountedImage } from './contestant.ts';

const startTimeoutMs = 30_000;
const pollMs = 50;

/** `path`: what is there once the mount is. The program must stay in the foreground. */
export async function serveMount(
  words: readonly string[],
  folder: string,
  path: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<MountedImage> {
  const [program = '', ...rest] = words;
  const child = spawn(program, rest, {
    stdio: 'ignore',
    env: { ...process.env, LC_ALL: 'C', ...environment },
  });
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  const unmount = async () => {
    await run(['umount', folder]).catch(() => child.kill());
    await ended;
  };
  for (const end = performance.now() + startTimeoutMs; !existsSync(path); await wait(pollMs)) {
    if (child.exitCode === null && child.signalCode === null && performance.now() < end) continue;
    child.kill();
    await run(['umount', '-l', folder]).catch(() => undefined);
    throw new Error(`"${words.join(' ')}" shows nothing at ${path}`);
  }
  return { path, unmount };
}
