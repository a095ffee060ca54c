/** A real `basaltd` in a temporary folder, driven over its real socket.
 *    start ─▶ socket answers ─calls▶ jobs ─▶ stop | kill ─▶ start again, on the same state
 *  Promises: `start` resolves when the daemon answers; `dispose` leaves no process, mount, loop device or file of it.
 *  Knows nothing of what a test wants to find out. */

import { type ChildProcess, spawn } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Connection, connect } from '../../client/connection.ts';
import { RemoteFailure } from '../../client/failure.ts';
import type { FaultCode } from '../../daemon/base/faults.ts';
import type { Manifest } from '../../daemon/format/manifest.ts';
import type { MethodName, Params, Result } from '../../daemon/protocol/methods.ts';
import type { BackupValue, JobValue } from '../../daemon/protocol/values.ts';
import { type Ended, startClient } from './client.ts';
import { run } from './devices.ts';

const daemonMain = fileURLToPath(new URL('../../dist/daemon/main.js', import.meta.url));
/** Each look costs a guest that is a process more than it costs a host. */
const pollMs = process.env['BASALT_GUEST'] === undefined ? 10 : 100;
/** An emulated machine runs ten times slower. */
const startTimeoutMs = process.env['BASALT_GUEST'] === 'qemu' ? 180_000 : 30_000;
/** In a guest that is a process each page of memory counts against the mappings that the host allows a process: 65530. */
const guestLimit = process.env['BASALT_GUEST'] === 'uml' ? '64MiB' : undefined;

export interface DaemonOptions {
  /** Folder or URL of the repository; absent: inside the state folder. */
  readonly repository?: string;
  readonly memoryLimit?: string;
  /** Where the daemon's folder is made. */
  readonly parent?: string;
  /** True: the daemon is told of its state folder by way of a symbolic link. */
  readonly linked?: boolean;
  /** Lines of its settings file (TOML). */
  readonly settings?: string;
  /** False: the repository is not made. */
  readonly init?: boolean;
}

/** Waits until `holds` gives a value other than undefined and false; asks again and again, up to a deadline. */
export async function eventually<T>(
  what: string,
  holds: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 20_000,
): Promise<T> {
  for (const end = performance.now() + timeoutMs; ; ) {
    const value = await holds();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await wait(pollMs);
  }
}

/** The code of the fault that a call ends with. */
export async function codeOfCall(call: Promise<unknown>): Promise<string> {
  const thrown: unknown = await call.then(
    () => 'it succeeded',
    (thrown: unknown) => thrown,
  );
  if (thrown instanceof RemoteFailure) return thrown.fault.code;
  if (typeof thrown === 'string') return thrown;
  throw thrown;
}

export class Daemon {
  readonly folder: string;
  readonly stateDir: string;
  readonly socketPath: string;
  readonly viewDir: string;
  readonly repositoryDir: string;
  readonly #options: DaemonOptions;
  #child: ChildProcess | undefined;
  #exited: Promise<number | null> = Promise.resolve(null);
  #connection: Connection | undefined;
  /** What the daemon wrote, of all its starts. */
  log = '';

  private constructor(options: DaemonOptions) {
    this.#options = options;
    this.folder = realpathSync(mkdtempSync(join(options.parent ?? tmpdir(), 'basalt-daemon-')));
    this.stateDir = join(this.folder, 'state');
    this.socketPath = join(this.stateDir, 'basaltd.sock');
    this.viewDir = join(this.stateDir, 'view');
    this.repositoryDir = options.repository ?? join(this.stateDir, 'repository');
    mkdirSync(this.stateDir);
    if (options.linked === true) symlinkSync(this.stateDir, join(this.folder, 'link'));
  }

  /** Starts a daemon with a repository of its own. */
  static async start(options: DaemonOptions = {}): Promise<Daemon> {
    const daemon = new Daemon(options);
    try {
      await daemon.start();
      if (options.init !== false) await daemon.call('repository.init', {});
      return daemon;
    } catch (thrown) {
      await daemon.dispose();
      throw thrown;
    }
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the daemon does not run');
    return pid;
  }

  async start(): Promise<void> {
    const { memoryLimit = guestLimit, settings } = this.#options;
    const stateDir = this.#options.linked === true ? join(this.folder, 'link') : this.stateDir;
    const words = ['--state-dir', stateDir, '--repository', this.repositoryDir];
    if (memoryLimit !== undefined) words.push('--memory-limit', memoryLimit);
    if (settings !== undefined) {
      const file = join(this.folder, 'basaltd.toml');
      writeFileSync(file, settings);
      words.push('--config', file);
    }
    const child = spawn(process.execPath, [daemonMain, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.log += text;
      });
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once('exit', (status) => resolve(status)));
    this.#connection = await eventually('the daemon answers', () => this.#tryConnect(child), startTimeoutMs);
  }

  async #tryConnect(child: ChildProcess): Promise<Connection | undefined> {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`basaltd ended:\n${this.log}`);
    return connect(this.socketPath).catch(() => undefined);
  }

  call<M extends MethodName>(method: M, params: Params<M>): Promise<Result<M>> {
    if (this.#connection === undefined) throw new Error('the daemon does not run');
    return this.#connection.call(method, params);
  }

  /** The job as it ended. */
  ended(jobId: string): Promise<JobValue> {
    return this.call('job.watch', { job: jobId });
  }

  /** The job, which must end well. */
  async done(started: Promise<{ job_id: string }> | { job_id: string }): Promise<JobValue> {
    const job = await this.ended((await started).job_id);
    if (job.status === 'done') return job;
    throw new Error(`job ${job.kind} ended as ${job.status}: ${JSON.stringify(job.fault)}`);
  }

  /** The job, which must fail with the code. */
  async failed(started: Promise<{ job_id: string }>, code: FaultCode): Promise<JobValue> {
    const job = await this.ended((await started).job_id);
    if (job.fault?.code === code) return job;
    throw new Error(
      `job ${job.kind} should fail with ${code}: ${job.status} ${JSON.stringify(job.fault)} ${JSON.stringify(job.result)}`,
    );
  }

  async addVolume(name: string, source: string): Promise<void> {
    await this.call('volume.add', { name, source });
  }

  /** Makes a backup and gives its finished record. */
  async backUp(volume: string, incremental = false): Promise<BackupValue> {
    const started = await this.call('backup.create', { volume, incremental });
    await this.done(started);
    return this.call('backup.show', { backup: started.backup.id });
  }

  /** The image of a backup in the view. */
  async imageOf(backup: BackupValue): Promise<string> {
    for (const volume of readdirSync(this.viewDir)) {
      if (volume === 'by-time') continue;
      for (const name of readdirSync(join(this.viewDir, volume))) {
        const path = join(this.viewDir, volume, name, 'volume.img');
        const manifest = JSON.parse(readFileSync(join(path, '..', 'manifest.json'), 'utf8')) as Manifest;
        if (manifest.backup.id === backup.id) return path;
      }
    }
    throw new Error(`backup ${backup.id} is not in the view`);
  }

  basaltctl(...words: string[]): Promise<Ended> {
    return startClient(words, { env: { BASALT_SOCKET: this.socketPath } }).ended;
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#gone();
  }

  /** Ends it in order. */
  async stop(): Promise<void> {
    this.#child?.kill('SIGTERM');
    const status = await this.#gone();
    if (status !== 0) throw new Error(`basaltd stopped with status ${status}:\n${this.log}`);
  }

  async #gone(): Promise<number | null> {
    const status = await this.#exited;
    this.#connection?.close();
    this.#connection = undefined;
    this.#child = undefined;
    return status;
  }

  async dispose(): Promise<void> {
    await this.kill();
    // The view goes last: without it nobody can tell any more whose the loop devices over its images are.
    const mounts = this.mounts().filter((directory) => directory !== this.viewDir);
    for (const directory of mounts.reverse()) tolerate(() => run('umount', '--lazy', directory));
    for (const device of this.loopDevices()) tolerate(() => run('losetup', '--detach', device));
    if (this.mounts().includes(this.viewDir)) tolerate(() => run('umount', '--lazy', this.viewDir));
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Everything mounted below the daemon's folder. */
  mounts(): string[] {
    const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n');
    return lines.map((line) => line.split(' ')[1] ?? '').filter((path) => path.startsWith(`${this.folder}/`));
  }

  /** Loop devices over files below the daemon's folder. */
  loopDevices(): string[] {
    const all = JSON.parse(run('losetup', '--list', '--json') || '{"loopdevices":[]}') as {
      loopdevices: { name: string; 'back-file': string }[];
    };
    return all.loopdevices
      .filter((loop) => loop['back-file'].startsWith(`${this.folder}/`))
      .map(({ name }) => name);
  }
}

function tolerate(work: () => unknown): void {
  try {
    work();
  } catch {
    // It went away by itself.
  }
}
