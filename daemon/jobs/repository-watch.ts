/** Looks at one repository now and then, so that one that was away is used again without anybody asking, and so that it can be
 *  told when it last answered. Promises: one look at a time; `fresh` resolves within seconds, also where the storage hangs.
 *  Writes nothing but what tells whether the storage takes writes. */

import { setTimeout as wait } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/faults.ts';
import type { RepositoryHolder } from './repository-holder.ts';

export interface Look {
  readonly isAnswering: boolean;
  /** When it last answered; undefined: not since the start. */
  readonly answeredAtMs: number | undefined;
  /** Why it can't be written, or not be used at all; undefined where it can. */
  readonly fault: Fault | undefined;
}

/** How long `fresh` waits for a look. */
const freshWaitMs = 2000;
/** Faults of a repository that answers. */
const answers: ReadonlySet<string> = new Set(['REPOSITORY_READ_ONLY', 'REPOSITORY_LOCKED']);

export class RepositoryWatch {
  readonly #holder: RepositoryHolder;
  readonly #clock: Clock;
  #looking: Promise<void> | undefined;
  #answeredAtMs: number | undefined;
  #fault: Fault | undefined;

  constructor(holder: RepositoryHolder, clock: Clock) {
    this.#holder = holder;
    this.#clock = clock;
  }

  /** Never rejects. Whoever asks while a look is under way waits for that one. */
  look(): Promise<void> {
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** What a look finds now, or, where it takes too long, that the repository does not answer. */
  async fresh(): Promise<Look> {
    const timer = new AbortController();
    const tooLong = wait(freshWaitMs, false, { signal: timer.signal }).catch(() => false);
    const isDone = await Promise.race([this.look().then(() => true), tooLong]);
    timer.abort();
    const fault = isDone
      ? this.#fault
      : new Fault('STORAGE_FAILED', `Repository "${this.#holder.url}" does not answer`);
    const isAnswering = fault === undefined || answers.has(fault.code);
    return { isAnswering, answeredAtMs: this.#answeredAtMs, fault };
  }

  async #lookNow(): Promise<void> {
    this.#fault = await this.#holder
      .get()
      .then((repository) => repository.requireWritable())
      .then(() => undefined, toFault);
    if (this.#fault === undefined || answers.has(this.#fault.code)) this.#answeredAtMs = this.#clock.now();
  }
}
