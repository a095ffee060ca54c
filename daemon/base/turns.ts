/** Turns in the order in which they were asked for. Promises: a turn is ready when all before it are done, however they ended;
 *  who took one must end it. */

export interface Turn {
  readonly ready: Promise<void>;
  /** Lets the next one go; may be called more than once. */
  readonly done: () => void;
}

export class Turns {
  #last: Promise<void> = Promise.resolve();

  take(): Turn {
    const before = this.#last;
    let done: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      done = resolve;
    });
    this.#last = before.then(() => ended);
    return { ready: before, done };
  }

  /** Resolves when all turns that were taken so far are done. */
  settled(): Promise<void> {
    return this.#last;
  }
}
