/** Which ranges of a target a restore has changed, or may have.
 *  Promises: whatever was written is in a range, from before the write begins; ranges are in order and do not touch; there are at
 *  most `writtenRangesMax`: beyond, those with the smallest gap are joined, and `exact` is false. Knows nothing of devices. */

import { writtenRangesMax } from '../base/limits.ts';

interface Range {
  readonly offset: number;
  readonly length: number;
}

export interface WrittenReport {
  readonly ranges: readonly Range[];
  readonly total_bytes: number;
  readonly exact: boolean;
}

const endOf = ({ offset, length }: Range): number => offset + length;

export class Written {
  #ranges: Range[];
  #exact: boolean;
  readonly #underWay = new Set<Range>();

  #added = false;

  constructor(earlier: WrittenReport | null = null) {
    this.#ranges = [...(earlier?.ranges ?? [])];
    this.#exact = earlier?.exact ?? true;
  }

  /** Whether anything came to what was known earlier. */
  get hasGrown(): boolean {
    return this.#added || this.#underWay.size > 0;
  }

  /** The range may be changed from now on; the answer says whether it was, and ends that. */
  begin(offset: number, length: number): (changed: boolean) => void {
    const range = { offset, length };
    this.#underWay.add(range);
    return (changed) => {
      if (this.#underWay.delete(range) && changed) this.add(range);
    };
  }

  add(range: Range): void {
    this.#added = true;
    this.#ranges = this.#with(this.#ranges, range);
    if (this.#ranges.length > writtenRangesMax) this.#joinClosest();
  }

  /** Something between may be unchanged. */
  addPerhaps(range: Range): void {
    if (range.length === 0) return;
    this.#exact = false;
    this.add(range);
  }

  report(): WrittenReport {
    let ranges = this.#ranges;
    for (const range of this.#underWay) ranges = this.#with(ranges, range);
    const total_bytes = ranges.reduce((sum, { length }) => sum + length, 0);
    return { ranges, total_bytes, exact: this.#exact };
  }

  /** Most ranges come at the end: it is looked for from there. */
  #with(ranges: readonly Range[], added: Range): Range[] {
    let first = ranges.length;
    while (first > 0 && endOf(ranges[first - 1] ?? added) >= added.offset) first -= 1;
    let last = first;
    let { offset } = added;
    let end = endOf(added);
    for (let next = ranges[last]; next !== undefined && next.offset <= end; next = ranges[last]) {
      offset = Math.min(offset, next.offset);
      end = Math.max(end, endOf(next));
      last += 1;
    }
    return [...ranges.slice(0, first), { offset, length: end - offset }, ...ranges.slice(last)];
  }

  #joinClosest(): void {
    let [closest, gap] = [1, Number.POSITIVE_INFINITY];
    this.#ranges.forEach((range, number) => {
      const before = this.#ranges[number - 1];
      if (before === undefined || range.offset - endOf(before) >= gap) return;
      [closest, gap] = [number, range.offset - endOf(before)];
    });
    const [left, right] = [this.#ranges[closest - 1], this.#ranges[closest]];
    if (left === undefined || right === undefined) return;
    this.#exact = false;
    const joined = { offset: left.offset, length: endOf(right) - left.offset };
    this.#ranges.splice(closest - 1, 2, joined);
  }
}
