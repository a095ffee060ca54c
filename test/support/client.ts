/** Runs the built `basaltctl` as an operator would: as a child, with pipes for stdout and stderr, on a daemon with canned
 *  answers. */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import { type Answer, type FakeDaemon, startFakeDaemon } from './fake-daemon.ts';

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningClient {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly ended: Promise<Ended>;
}

export const clientMain = fileURLToPath(new URL('../../dist/client/main.js', import.meta.url));

export function startClient(
  words: readonly string[],
  more: { env?: Readonly<Record<string, string>>; cwd?: string; program?: readonly string[] } = {},
): RunningClient {
  const {
    BASALT_SOCKET: _socket,
    BASALT_PROJECT: _project,
    BASALT_OUTPUT_FORMAT: _format,
    ...rest
  } = process.env;
  const [program = process.execPath, ...before] = more.program ?? [process.execPath, clientMain];
  const child = spawn(program, [...before, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...rest, ...more.env },
    ...(more.cwd === undefined ? {} : { cwd: more.cwd }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
  });
  return { child, ended };
}

export const runClient = (
  words: readonly string[],
  more?: { env?: Readonly<Record<string, string>>; cwd?: string; program?: readonly string[] },
): Promise<Ended> => startClient(words, more).ended;

/** A client with a fake daemon of its own in each test; without one its socket does not exist. */
export function clientOnFakeDaemon() {
  let daemon: FakeDaemon | undefined;
  const folders: string[] = [];
  afterEach(async () => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
    await daemon?.stop();
    daemon = undefined;
  });
  const env = () => ({ BASALT_SOCKET: daemon?.socketPath ?? '/nonexistent/basaltd.sock' });
  return {
    env,
    /** In the place of an earlier one. */
    fake: async (answers: Readonly<Record<string, Answer>>): Promise<FakeDaemon> => {
      await daemon?.stop();
      daemon = await startFakeDaemon(answers);
      return daemon;
    },
    basaltctl: (...words: string[]) => runClient(words, { env: env() }),
    /** What the first call of `method` was given. */
    paramsOf: (method: string): unknown => daemon?.calls.find((call) => call.method === method)?.params,
    /** A working folder, gone after the test. */
    aFolder: (): string => {
      const folder = realpathSync(mkdtempSync(join(tmpdir(), 'basalt-client-')));
      folders.push(folder);
      return folder;
    },
  };
}
