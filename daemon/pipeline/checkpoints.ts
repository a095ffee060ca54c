/** Says when a copy is to make durable what it has done, so that it can be gone on with from there.
 *  Promises: not more often than every `everyMs`, and only after some work, as each one empties the window and closes a pack; in
 *  slow copies a few times more seldom. Knows nothing of what is copied. */

import { Fault } from '../base/faults.ts';
import { packPayloadBytes } from '../base/limits.ts';

/** Without a pack's worth of work a checkpoint waits so many times longer. */
const slowFactor = 6;

export class Checkpoints {
  readonly #everyMs: number;
  #atMs = performance.now();
  #position: number;

  constructor(everyMs: number, position: number) {
    this.#everyMs = everyMs;
    this.#position = position;
  }

  due(position: number): boolean {
    const sinceMs = performance.now() - this.#atMs;
    const enough = position - this.#position >= packPayloadBytes;
    return position > this.#position && sinceMs >= (enough ? this.#everyMs : this.#everyMs * slowFactor);
  }

  made(position: number): void {
    this.#atMs = performance.now();
    this.#position = position;
  }
}

/** The daemon stops: what was done so far is worth a checkpoint. */
export const isInterrupted = ({ aborted, reason }: AbortSignal): boolean =>
  aborted && reason instanceof Fault && reason.code === 'INTERRUPTED';
