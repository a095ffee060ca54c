/** A fixed number of works at a time, each with its own piece of lent memory; the others wait in the order they came.
 *  Promises: two works never hold the same memory; `idle` resolves when none runs or waits. */

import { assert } from '../base/assert.ts';

export class Lanes {
  readonly #total: number;
  readonly #free: Uint8Array[] = [];
  readonly #waiting: ((scratch: Uint8Array) => void)[] = [];
  readonly #idle: (() => void)[] = [];

  constructor(memory: Uint8Array, laneBytes: number) {
    for (let offset = 0; offset + laneBytes <= memory.length; offset += laneBytes) {
      this.#free.push(memory.subarray(offset, offset + laneBytes));
    }
    this.#total = this.#free.length;
    assert(this.#total > 0, 'there is memory for one lane');
  }

  async run<T>(work: (scratch: Uint8Array) => Promise<T>): Promise<T> {
    const scratch = this.#free.pop() ?? (await new Promise<Uint8Array>((give) => this.#waiting.push(give)));
    try {
      return await work(scratch);
    } finally {
      this.#giveBack(scratch);
    }
  }

  async idle(): Promise<void> {
    if (this.#free.length < this.#total) await new Promise<void>((tell) => this.#idle.push(tell));
  }

  #giveBack(scratch: Uint8Array): void {
    const next = this.#waiting.shift();
    if (next !== undefined) return next(scratch);
    this.#free.push(scratch);
    if (this.#free.length === this.#total) for (const tell of this.#idle.splice(0)) tell();
  }
}
