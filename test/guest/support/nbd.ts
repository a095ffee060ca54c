/** Servers of NBD on a socket of the loopback, over a file: qemu-nbd, as hosts with virtual machines have it.
 *  Promises: the server and its file are gone when the test has finished. */

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { modprobe } from './inside.ts';

export interface NbdServer {
  readonly url: string;
  /** The bytes that it serves. */
  readonly file: string;
  stop(): Promise<void>;
}

let nextPort = 10_810;

/** The export "disk" of the size, or of a file that is there. */
export async function nbdServer(
  what: { sizeBytes: number } | { file: string },
  ...options: string[]
): Promise<NbdServer> {
  modprobe('nbd');
  const folder = mkdtempSync('/tmp/nbd-');
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = 'file' in what ? what.file : join(folder, 'disk');
  if ('sizeBytes' in what) {
    writeFileSync(file, '');
    truncateSync(file, what.sizeBytes);
  }
  const port = nextPort++;
  const words = [
    '--format=raw',
    '--export-name=disk',
    '--persistent',
    '--shared=8',
    '--bind=127.0.0.1',
    `--port=${port}`,
  ];
  const child = spawn('qemu-nbd', [...words, ...options, file], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = () => (child.kill('SIGKILL'), ended);
  onTestFinished(stop);
  await eventually('the server listens', () => run('ss', '--no-header', '-ltn', `sport = :${port}`) !== '');
  return { url: `nbd://127.0.0.1:${port}/disk`, file, stop };
}
