/** Turns in the order in which they were asked for. Promises: a turn is ready when all before it are done, however they ended;
 *  who took one must end it. */

import { unlessAborted } from './abort.ts';

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

/** Turns of many things: those of one key follow one another, those of different keys have nothing to do with each other. */
export class KeyedTurns {
  readonly #queues = new Map<string, { readonly turns: Turns; waiting: number }>();

  /** Called off while it waits, it rejects at once with the reason, and its task never runs; the others keep their order. */
  async run<T>(key: string, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const queue = this.#queues.get(key) ?? { turns: new Turns(), waiting: 0 };
    this.#queues.set(key, queue);
    queue.waiting += 1;
    const turn = queue.turns.take();
    try {
      await (signal === undefined ? turn.ready : unlessAborted(turn.ready, signal));
      signal?.throwIfAborted();
      return await task();
    } finally {
      turn.done();
      queue.waiting -= 1;
      if (queue.waiting === 0) this.#queues.delete(key);
    }
  }

  /** Whether something of the key is under way. */
  isTaken(key: string): boolean {
    return this.#queues.has(key);
  }

  /** Resolves when all that was begun so far is done. */
  async settled(): Promise<void> {
    await Promise.all([...this.#queues.values()].map(({ turns }) => turns.settled()));
  }
}
