/** A real NBD server on a socket, over a file; it ends when the test has finished. */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { folderForTest } from './devices.ts';

export interface NbdServer {
  readonly url: string;
  readonly socket: string;
  readonly process: ChildProcess;
  kill(): Promise<void>;
}

export const serveNbd = (image: string, ...options: string[]): Promise<NbdServer> =>
  serveNbdAt(join(folderForTest(), 'nbd.sock'), image, ...options);

/** On a socket that is not there yet. */
export async function serveNbdAt(socket: string, image: string, ...options: string[]): Promise<NbdServer> {
  const words = ['-t', '-f', 'raw', '-k', socket, '-x', 'disk', '-e', '8', ...options, image];
  const server = spawn('qemu-nbd', words, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise((resolve) => server.once('exit', resolve));
  const kill = async (): Promise<void> => {
    server.kill('SIGKILL');
    await ended;
    rmSync(socket, { force: true });
  };
  onTestFinished(kill);
  while (!existsSync(socket)) {
    if (server.exitCode !== null) throw new Error(`qemu-nbd ended with ${server.exitCode}`);
    await sleep(10);
  }
  return { url: `nbd+unix:///disk?socket=${socket}`, socket, process: server, kill };
}
