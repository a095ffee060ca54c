/** Basalt itself: the built daemon, driven over its socket.
 *  A sample lasts from the request to the end of the job; memory and processor time are those of the daemon. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Connection, connect } from '../../client/connection.ts';
import { measure } from '../measure/measure.ts';
import type { Sample } from '../measure/sample.ts';
import { type Backup, type Contestant, type Session, withGrowth } from './contestant.ts';

const daemonMain = fileURLToPath(new URL('../../daemon/main.js', import.meta.url));
const startTimeoutMs = 30_000;
const pollMs = 20;

export class BasaltSession implements Session {
  readonly #child: ChildProcess;
  readonly #connection: Connection;
  readonly #state: string;
  readonly #volumes = new Set<string>();
  readonly server: number;

  private constructor(child: ChildProcess, connection: Connection, state: string, pid: number) {
    this.#child = child;
    this.#connection = connection;
    this.#state = state;
    this.server = pid;
  }

  /** `again`: on the state of an earlier session in the same folder. */
  static async open(folder: string, memoryLimit: string, again = false): Promise<BasaltSession> {
    const state = join(folder, 'state');
    if (!again) mkdirSync(state);
    const log = openSync(join(folder, 'basaltd.log'), 'a');
    const words = [daemonMain, '--state-dir', state, '--memory-limit', memoryLimit];
    const child = spawn(process.execPath, words, { stdio: ['ignore', log, log] });
    closeSync(log);
    for (const end = performance.now() + startTimeoutMs; ; await wait(pollMs)) {
      const connection = await connect(join(state, 'basaltd.sock')).catch(() => undefined);
      if (connection !== undefined && child.pid !== undefined) {
        if (!again) await connection.call('repository.init', {});
        return new BasaltSession(child, connection, state, child.pid);
      }
      if (child.exitCode !== null || performance.now() > end) {
        child.kill('SIGKILL');
        throw new Error(`basaltd does not start:\n${readFileSync(join(folder, 'basaltd.log'), 'utf8')}`);
      }
    }
  }

  /** Runs jobs side by side and measures them together. */
  async jobs(
    bytes: number,
    start: (call: Connection['call']) => Promise<{ job_id: string }[]>,
  ): Promise<Sample> {
    const call: Connection['call'] = (...words) => this.#connection.call(...words);
    const sample = await measure(bytes, [this.server], async () => {
      // The daemon counts the delay of its event loop from one such call to the next.
      await call('status', {});
      const started = await start(call);
      const ended = await Promise.all(started.map(({ job_id }) => call('job.watch', { job: job_id })));
      const failed = ended.find(({ status }) => status !== 'done');
      if (failed !== undefined)
        throw new Error(`job ended as ${failed.status}: ${JSON.stringify(failed.fault)}`);
    });
    const { event_loop_delay_ms: delay } = await call('status', {});
    return { ...sample, loopP99Ms: delay.p99 };
  }

  /** Backs up all the files at once. */
  async backUpAll(
    paths: readonly string[],
    incremental: boolean,
  ): Promise<{ ids: string[]; sample: Sample }> {
    for (const path of paths) {
      if (this.#volumes.has(path)) continue;
      await this.#connection.call('volume.add', { name: nameOf(path), source: path });
      this.#volumes.add(path);
    }
    const bytes = paths.reduce((sum, path) => sum + statSync(path).size, 0);
    let ids: string[] = [];
    const sample = await withGrowth(join(this.#state, 'repository'), () =>
      this.jobs(bytes, async (call) => {
        const started = await Promise.all(
          paths.map((path) => call('backup.create', { volume: nameOf(path), incremental })),
        );
        ids = started.map(({ backup }) => backup.id);
        return started;
      }),
    );
    return { ids, sample };
  }

  async backUp(path: string, after?: string): Promise<Backup> {
    const { ids, sample } = await this.backUpAll([path], after !== undefined);
    return { id: ids[0] ?? '', sample };
  }

  /** Restores each backup to its target, all at once. */
  async restoreAll(ids: readonly string[], targets: readonly string[], over: boolean): Promise<Sample> {
    const backups = await Promise.all(ids.map((backup) => this.#connection.call('backup.show', { backup })));
    const bytes = backups.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
    return this.jobs(bytes, (call) =>
      Promise.all(
        ids.map((backup, i) => call('backup.restore', { backup, target: targets[i] ?? '', force: over })),
      ),
    );
  }

  restore(id: string, target: string, over: boolean): Promise<Sample> {
    return this.restoreAll([id], [target], over);
  }

  imageOf(id: string): Promise<string> {
    const view = join(this.#state, 'view');
    const folders = readdirSync(view).flatMap((volume) =>
      readdirSync(join(view, volume)).map((backup) => join(view, volume, backup)),
    );
    const found = folders.find((folder) => readFileSync(join(folder, 'manifest.json'), 'utf8').includes(id));
    if (found === undefined) return Promise.reject(new Error(`backup ${id} is not in the view`));
    return Promise.resolve(join(found, 'volume.img'));
  }

  async close(): Promise<void> {
    this.#connection.close();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await ended;
  }
}

const nameOf = (path: string): string => `volume${path.replaceAll('/', '-')}`;

export function basalt(name: string, memoryLimit: string): Contestant {
  return {
    name,
    about: `\`basaltd --memory-limit ${memoryLimit}\`, else its defaults; from the request at the socket to the end of the job`,
    missing: () => Promise.resolve(undefined),
    open: (folder) => BasaltSession.open(folder, memoryLimit),
  };
}
