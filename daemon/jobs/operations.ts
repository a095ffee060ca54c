/** Admission by number: backups and restores that run at the same time, first come first served.
 *  Promises: never more than `limit`; who waits is not overtaken. Knows nothing of jobs. */

import { Fault } from '../base/faults.ts';

export class Operations {
  readonly #limit: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Waits for a place; gives the function that leaves it. CANCELLED if `signal` aborts first. */
  async enter(signal: AbortSignal): Promise<() => void> {
    if (this.#running < this.#limit && this.#waiting.length === 0) this.#running += 1;
    else await this.#wait(signal);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      // The place goes to the next one at once, so that nobody slips in between.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal.removeEventListener('abort', cancel);
        resolve();
      };
      const cancel = () => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(
          signal.reason instanceof Fault ? signal.reason : new Fault('CANCELLED', 'Cancelled while waiting'),
        );
      };
      this.#waiting.push(enter);
      if (signal.aborted) cancel();
      else signal.addEventListener('abort', cancel, { once: true });
    });
  }
}
