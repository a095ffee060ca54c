/** The one memory budget: regions of memory allocated once, lent in contiguous grants, first come first served.
 *
 *    admit ─(waits until the smallest working set is free)▶ grant ─▶ slices ─▶ release
 *
 *  Promises: the sum of all grants never exceeds the regions; a grant lies within one of them; a waiting request is never overtaken by a later one; a grant
 *  is at least what was asked for as the minimum. Knows nothing of what the bytes are used for. */

import { assert } from '../base/assert.ts';
import { KiB, roundUp } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/faults.ts';

/** Grants are counted in units, so that the list of free ranges stays short. */
const unitBytes = 64 * KiB;

export interface Wish {
  /** Who asks, as `status` shows it. */
  readonly owner: string;
  /** The smallest working set that lets the owner make progress, in bytes. */
  readonly bytesMin: number;
  /** What it can make use of; more is never given. */
  readonly bytesMax: number;
}

export interface Grant {
  readonly bytes: number;
  /** The next `bytes` of the grant. More than the grant holds is a bug of the owner. */
  slice(bytes: number): Uint8Array;
  release(): void;
}

export interface BudgetLine {
  readonly owner: string;
  readonly bytes: number;
  readonly sinceMs: number;
}

export interface BudgetReport {
  readonly limitBytes: number;
  readonly reservedBytes: number;
  readonly peakBytes: number;
  readonly leases: readonly BudgetLine[];
  readonly waiting: readonly BudgetLine[];
}

interface Range {
  readonly region: ArrayBuffer;
  offset: number;
  length: number;
}

interface Waiting {
  readonly wish: Wish;
  readonly sinceMs: number;
  readonly give: (grant: Grant) => void;
  readonly onWait: (place: number) => void;
}

export class Budget {
  readonly #regions: readonly ArrayBuffer[];
  readonly #clock: Clock;
  /** Free ranges in order of region and offset; neighbours are merged. */
  #free: Range[];
  readonly #leases = new Map<Grant, BudgetLine>();
  readonly #waiting: Waiting[] = [];
  #reservedBytes = 0;
  #peakBytes = 0;

  constructor(regions: readonly ArrayBuffer[], clock: Clock) {
    assert(
      regions.every(({ byteLength }) => byteLength % unitBytes === 0),
      'a region is whole units',
    );
    this.#regions = regions;
    this.#clock = clock;
    this.#free = regions.map((region) => ({ region, offset: 0, length: region.byteLength }));
  }

  /** The largest grant that there can be. */
  get grantBytesMax(): number {
    return Math.max(...this.#regions.map(({ byteLength }) => byteLength));
  }

  /** Waits for memory; `onWait` is told the place in the line, from 1 on, if there is a line, and each time it changes.
   *  MEMORY_BUDGET where the minimum can never be had; CANCELLED if `signal` aborts while waiting. */
  async admit(
    wish: Wish,
    signal?: AbortSignal,
    onWait: (place: number) => void = () => undefined,
  ): Promise<Grant> {
    if (roundUp(wish.bytesMin, unitBytes) > this.grantBytesMax) {
      throw new Fault(
        'MEMORY_BUDGET',
        `Cannot run "${wish.owner}": it needs more memory than memory_limit allows`,
      );
    }
    const grant = this.#waiting.length === 0 ? this.#take(wish) : undefined;
    return grant ?? (await this.#wait(wish, signal, onWait));
  }

  report(): BudgetReport {
    return {
      limitBytes: this.#regions.reduce((sum, { byteLength }) => sum + byteLength, 0),
      reservedBytes: this.#reservedBytes,
      peakBytes: this.#peakBytes,
      leases: [...this.#leases.values()],
      waiting: this.#waiting.map(({ wish, sinceMs }) => ({
        owner: wish.owner,
        bytes: wish.bytesMin,
        sinceMs,
      })),
    };
  }

  #wait(wish: Wish, signal: AbortSignal | undefined, onWait: (place: number) => void): Promise<Grant> {
    return new Promise((resolve, reject) => {
      const cancel = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        const reason: unknown = signal?.reason;
        const cancelled = new Fault('CANCELLED', `Cancelled "${wish.owner}" while it waited for memory`);
        reject(reason instanceof Fault ? reason : cancelled);
        this.#serve();
        this.#tellAll();
      };
      const waiting: Waiting = {
        wish,
        sinceMs: this.#clock.now(),
        give: (grant) => {
          signal?.removeEventListener('abort', cancel);
          resolve(grant);
        },
        onWait,
      };
      this.#waiting.push(waiting);
      if (signal?.aborted) {
        cancel();
        return;
      }
      signal?.addEventListener('abort', cancel, { once: true });
      onWait(this.#waiting.length);
    });
  }

  #tellAll(): void {
    for (const [place, { onWait }] of this.#waiting.entries()) onWait(place + 1);
  }

  /** Gives to those who wait, in order, until one can't be served. */
  #serve(): void {
    let served = 0;
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const grant = this.#take(first.wish);
      if (grant === undefined) break;
      this.#waiting.shift();
      first.give(grant);
      served += 1;
    }
    if (served > 0) this.#tellAll();
  }

  #take(wish: Wish): Grant | undefined {
    const least = roundUp(wish.bytesMin, unitBytes);
    const most = Math.max(least, roundUp(wish.bytesMax, unitBytes));
    // The first range that holds all that is wanted, else the largest that holds the minimum.
    let best: Range | undefined;
    for (const range of this.#free) {
      if (range.length >= most) {
        best = range;
        break;
      }
      if (range.length >= least && (best === undefined || range.length > best.length)) best = range;
    }
    if (best === undefined) return undefined;
    const length = Math.min(best.length, most);
    const taken: Range = { region: best.region, offset: best.offset, length };
    best.offset += length;
    best.length -= length;
    if (best.length === 0) this.#free.splice(this.#free.indexOf(best), 1);
    return this.#grant(taken, wish.owner);
  }

  #grant(range: Range, owner: string): Grant {
    let used = 0;
    const grant: Grant = {
      bytes: range.length,
      slice: (bytes) => {
        assert(used + bytes <= range.length, `"${owner}" stays within its grant`);
        used += bytes;
        return new Uint8Array(range.region, range.offset + used - bytes, bytes);
      },
      release: () => {
        if (this.#leases.delete(grant)) this.#giveBack(range);
      },
    };
    this.#leases.set(grant, { owner, bytes: range.length, sinceMs: this.#clock.now() });
    this.#reservedBytes += range.length;
    this.#peakBytes = Math.max(this.#peakBytes, this.#reservedBytes);
    return grant;
  }

  #giveBack(range: Range): void {
    this.#reservedBytes -= range.length;
    const place = ({ region }: Range) => this.#regions.indexOf(region);
    const ranges = [...this.#free, range].sort((a, b) => place(a) - place(b) || a.offset - b.offset);
    this.#free = [];
    for (const next of ranges) {
      const last = this.#free.at(-1);
      if (last?.region === next.region && last.offset + last.length === next.offset)
        last.length += next.length;
      else this.#free.push({ ...next });
    }
    this.#serve();
  }
}
