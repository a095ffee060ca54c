/** A piece of the budget that several works share, lent in contiguous parts, first come first served.
 *  Promises: parts never overlap; who waits gets his turn as soon as those before him have it; before anybody waits, what is held
 *  only to be faster is asked back. Knows nothing of what the bytes are used for. */

import { roundUp } from '../base/bytes.ts';
import { Fault } from '../base/faults.ts';

const alignment = 4096;

export interface Part {
  readonly bytes: Uint8Array;
  release(): void;
}

interface Taken {
  readonly offset: number;
  readonly length: number;
}

export class Pool {
  readonly #memory: Uint8Array;
  /** In order of offset. */
  #taken: Taken[] = [];
  readonly #waiting: { readonly length: number; readonly give: (part: Part) => void }[] = [];
  readonly #holders: (() => boolean)[] = [];

  constructor(memory: Uint8Array) {
    this.#memory = memory;
  }

  get sizeBytes(): number {
    return this.#memory.length;
  }

  /** `giveBack` lets go of something that is held only to be faster; false where there is nothing. */
  addHolder(giveBack: () => boolean): void {
    this.#holders.push(giveBack);
  }

  /** MEMORY_BUDGET where so much is never there. */
  async take(bytes: number, what: string): Promise<Part> {
    const length = roundUp(bytes, alignment);
    if (length > this.#memory.length) {
      throw new Fault('MEMORY_BUDGET', `Cannot read ${what}: it demands ${bytes} bytes of memory at once`, {
        hint: 'Raise memory_limit: an eighth of it is for what is read from Cinder repositories',
      });
    }
    if (this.#waiting.length === 0) {
      for (;;) {
        const part = this.#fit(length);
        if (part !== undefined) return part;
        if (!this.#holders.some((giveBack) => giveBack())) break;
      }
    }
    return new Promise((give) => this.#waiting.push({ length, give }));
  }

  #fit(length: number): Part | undefined {
    let offset = 0;
    let place = 0;
    for (; place < this.#taken.length; place += 1) {
      const next = this.#taken[place];
      if (next === undefined || next.offset - offset >= length) break;
      offset = next.offset + next.length;
    }
    if (offset + length > this.#memory.length) return undefined;
    const taken = { offset, length };
    this.#taken.splice(place, 0, taken);
    return {
      bytes: this.#memory.subarray(offset, offset + length),
      release: () => {
        const before = this.#taken.length;
        this.#taken = this.#taken.filter((other) => other !== taken);
        if (this.#taken.length < before) this.#serve();
      },
    };
  }

  #serve(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const part = this.#fit(first.length);
      if (part === undefined) {
        // Who gives back serves again.
        this.#holders.some((giveBack) => giveBack());
        return;
      }
      this.#waiting.shift();
      first.give(part);
    }
  }
}
