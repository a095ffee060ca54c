/** One at a time, of all agents on this host: for what attachments share, such as a session to a target.
 *
 *    task ─▶ queue of this process ─▶ lock file (flock) ─▶ runs ─▶ both given back
 *
 *  Promises: tasks of one key run one after the other, in the order they came, also beside another daemon with another state folder;
 *  a process that dies gives its locks back; who waits can be called off. Other programs take no part. */

import { createHash } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Native } from '../../../native/native.ts';
import { KeyedTurns } from '../../base/turns.ts';

const askEveryMs = 50;

export class HostLocks {
  readonly #folder: string;
  readonly #native: Pick<Native, 'tryLock'>;
  readonly #turns = new KeyedTurns();

  constructor(folder: string, native: Pick<Native, 'tryLock'>) {
    this.#folder = folder;
    this.#native = native;
  }

  alone<T>(key: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    return this.#turns.run(key, () => this.#locked(key, signal, task), signal);
  }

  async #locked<T>(key: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    // A key may hold anything; the name of a file may not.
    const name = createHash('sha256').update(key).digest('hex').slice(0, 32);
    const file = await open(join(this.#folder, `${name}.lock`), 'a', 0o600);
    try {
      while (!this.#native.tryLock(file.fd)) {
        await wait(askEveryMs, undefined, { signal }).catch(() => undefined);
        signal.throwIfAborted();
      }
      return await task();
    } finally {
      await file.close();
    }
  }
}
