/** Which ranges of a volume become objects of a Cinder backup. Pure.
 *
 *  A full backup covers everything, cut at multiples of the object size. An incremental one covers the runs of blocks that
 *  changed. A Cinder of 2023.1 or newer that restores to a new volume leaves out every slice of an object, `sliceBytes` long and
 *  counted from the object's start, that is all zeros. In a full that is right. In an incremental the older data would stay, so
 *  that here each block which became zero shares its slice with a block that is not zero: the last one before the zeros, or the
 *  first one behind them, whether those changed or not.
 *
 *  Promises: every changed block is in an object; objects come in ascending order and never overlap; no slice of an incremental
 *  object that has a changed block is all zeros, or `FullBackupNeeded` is thrown. Knows nothing of bytes. */

import { assert } from '../../base/assert.ts';
import { MiB } from '../../base/bytes.ts';
import { FullBackupNeeded } from '../repository.ts';

/** What Cinder looks at in one go. Source: cinder/backup/chunkeddriver.py, since 2023.1. */
export const sliceBytes = 1 * MiB;

/** A range of blocks that are of one kind. Runs come in order, without gaps. */
export interface Run {
  readonly offset: number;
  readonly length: number;
  readonly zero: boolean;
  /** Always true in a full backup. */
  readonly changed: boolean;
}

/** What to do next. Data is of the runs of the latest segment, or the last block before it that was not zero. */
export type Step =
  | { readonly kind: 'open'; readonly offset: number }
  | { readonly kind: 'data'; readonly offset: number; readonly length: number }
  | { readonly kind: 'zeros'; readonly length: number }
  | { readonly kind: 'close' };

export interface Cutter {
  add(run: Run): Iterable<Step>;
  end(): Iterable<Step>;
}

export class FullCutter implements Cutter {
  readonly #objectBytes: number;
  #open = false;

  constructor(objectBytes: number) {
    this.#objectBytes = objectBytes;
  }

  *add(run: Run): Iterable<Step> {
    const end = run.offset + run.length;
    for (let at = run.offset; at < end; ) {
      if (!this.#open) yield { kind: 'open', offset: at };
      this.#open = true;
      const border = nextBorder(at, this.#objectBytes);
      const length = Math.min(border, end) - at;
      yield run.zero ? { kind: 'zeros', length } : { kind: 'data', offset: at, length };
      at += length;
      if (at === border) yield* this.end();
    }
  }

  *end(): Iterable<Step> {
    if (this.#open) yield { kind: 'close' };
    this.#open = false;
  }
}

const nextBorder = (at: number, objectBytes: number): number =>
  (Math.floor(at / objectBytes) + 1) * objectBytes;

/** A block that is not zero. */
interface Block {
  readonly offset: number;
  readonly end: number;
  readonly changed: boolean;
  /** It is in the object that is open. */
  readonly put?: boolean;
}

export class IncrementalCutter implements Cutter {
  readonly #objectBytes: number;
  readonly #blockBytes: number;
  /** The object that is open: everything up to `end` is in it. It is closed when the next one opens. */
  #object: { readonly start: number; end: number } | undefined;
  /** The last block that is not zero; where it changed and is not put, it is in no object yet. */
  #held: Block | undefined;
  /** Zeros behind it that changed: ranges that begin within a slice of it, and the rest. */
  #near: { readonly offset: number; readonly end: number }[] = [];
  #far: { readonly offset: number; end: number } | undefined;

  constructor(objectBytes: number, blockBytes: number) {
    assert(sliceBytes % blockBytes === 0, 'no block lies in two slices');
    this.#objectBytes = objectBytes;
    this.#blockBytes = blockBytes;
  }

  *add({ offset, length, zero, changed }: Run): Iterable<Step> {
    const end = offset + length;
    if (zero) {
      if (changed) this.#addZeros(offset, end);
      return;
    }
    const first = { offset, end: Math.min(end, offset + this.#blockBytes), changed };
    const put = yield* this.#settle(first);
    const begin = put ? first.end : offset;
    if (begin === end) {
      this.#held = { ...first, put };
      return;
    }
    const last = offset + Math.floor((length - 1) / this.#blockBytes) * this.#blockBytes;
    if (changed) yield* this.#put(begin, last);
    this.#held = { offset: last, end, changed };
  }

  *end(): Iterable<Step> {
    yield* this.#settle(undefined);
    yield* this.#close();
  }

  #addZeros(offset: number, end: number): void {
    const reach = this.#held === undefined ? offset : this.#held.offset + sliceBytes;
    if (offset < reach) this.#near.push({ offset, end: Math.min(end, reach) });
    if (end <= reach) return;
    this.#far ??= { offset: Math.max(offset, reach), end };
    this.#far.end = end;
    // Whatever comes behind is too far from the first of them: nobody needs to read on to know.
    if (end - this.#far.offset >= sliceBytes) throw new FullBackupNeeded(this.#far.offset);
  }

  /** Puts away the held block and the zeros behind it. `next`: the block that is not zero behind the zeros.
   *  True where `next` went into an object with them. */
  *#settle(next: Block | undefined): Generator<Step, boolean> {
    const held = this.#held;
    const first = this.#firstBehind(0);
    if (first === Infinity) {
      if (held !== undefined) yield* this.#putHeld(held, false);
      this.#held = undefined;
      return false;
    }
    const rightFrom = next === undefined ? Infinity : next.end - sliceBytes;
    const reach = this.#chooseReach(held, first, rightFrom);
    const rest = this.#firstBehind(reach);
    if (rest < rightFrom) throw new FullBackupNeeded(rest);
    if (held !== undefined) {
      const anew = reach > this.#reachOfOpen(held);
      yield* this.#putHeld(held, anew, reach > 0);
      if (reach > 0) yield* this.#putZeros(this.#lastBefore(reach));
    }
    [this.#held, this.#near, this.#far] = [undefined, [], undefined];
    if (next === undefined || rest === Infinity) return false;
    yield* this.#close();
    yield* this.#open(rest);
    yield* this.#putZeros(next.offset);
    yield* this.#put(next.offset, next.end, false);
    return true;
  }

  /** Up to where zeros go with the held block; 0: none do. The fewest objects win. */
  #chooseReach(held: Block | undefined, first: number, rightFrom: number): number {
    if (held === undefined || this.#near.length === 0) return 0;
    const here = this.#reachOfOpen(held);
    if (this.#firstBehind(here) === Infinity) return here;
    if (first >= rightFrom) return 0;
    if (first < here && this.#firstBehind(here) >= rightFrom) return here;
    if (held.put !== true) return held.offset + sliceBytes;
    return first < here ? here : 0;
  }

  /** How far the slice reaches that has the held block when the object goes on with it. */
  #reachOfOpen({ offset, changed, put }: Block): number {
    const object = this.#object;
    const goesOn = put === true || (changed && object?.end === offset && !this.#isBorder(offset));
    const start = goesOn && object !== undefined ? object.start : offset;
    return start + (Math.floor((offset - start) / sliceBytes) + 1) * sliceBytes;
  }

  /** The first zeros that changed at or behind `reach`; Infinity where there are none. */
  #firstBehind(reach: number): number {
    for (const { offset, end } of this.#near) if (end > reach) return Math.max(offset, reach);
    return this.#far === undefined ? Infinity : Math.max(this.#far.offset, reach);
  }

  /** Where the last of the near zeros before `reach` end. */
  #lastBefore(reach: number): number {
    return this.#near.reduce((last, zeros) => (zeros.offset < reach ? Math.min(zeros.end, reach) : last), 0);
  }

  /** `anew`: an object begins with it. `needed`: although it did not change. */
  *#putHeld(held: Block, anew: boolean, needed = false): Iterable<Step> {
    if (held.put === true || !(held.changed || needed)) return;
    if (anew || !held.changed) yield* this.#close();
    yield* this.#put(held.offset, held.end, held.changed && !anew);
  }

  /** Data of the volume; `atBorders`: cut where an object begins of right. */
  *#put(begin: number, end: number, atBorders = true): Iterable<Step> {
    for (let at = begin; at < end; ) {
      if (this.#object?.end !== at || (atBorders && this.#isBorder(at))) {
        yield* this.#close();
        yield* this.#open(at);
      }
      const length = Math.min(nextBorder(at, this.#objectBytes), end) - at;
      yield { kind: 'data', offset: at, length };
      at += length;
      this.#object = { start: this.#object?.start ?? at, end: at };
    }
  }

  *#putZeros(end: number): Iterable<Step> {
    const object = this.#object;
    assert(object !== undefined && end > object.end, 'zeros follow in an object');
    yield { kind: 'zeros', length: end - object.end };
    object.end = end;
  }

  #isBorder(at: number): boolean {
    return at % this.#objectBytes === 0;
  }

  *#open(offset: number): Iterable<Step> {
    this.#object = { start: offset, end: offset };
    yield { kind: 'open', offset };
  }

  *#close(): Iterable<Step> {
    if (this.#object !== undefined) yield { kind: 'close' };
    this.#object = undefined;
  }
}
