/** A set of byte ranges: sorted, apart from each other. Pure.
 *  Promises: holds at most `rangesMax` ranges; beyond that neighbours are joined with what is between them, so that the set only
 *  ever holds more than it should, and says so. */

export interface Range {
  readonly offset: number;
  readonly length: number;
}

export const rangesMax = 65_536;

export class Ranges {
  /** Begins and ends in turn. */
  #edges: number[];
  /** True where more is in the set than was added. */
  rough: boolean;

  constructor(other?: Ranges) {
    this.#edges = other === undefined ? [] : [...other.#edges];
    this.rough = other?.rough ?? false;
  }

  get isEmpty(): boolean {
    return this.#edges.length === 0;
  }

  get bytes(): number {
    let sum = 0;
    for (const { length } of this) sum += length;
    return sum;
  }

  *[Symbol.iterator](): Iterator<Range> {
    for (let at = 0; at + 1 < this.#edges.length; at += 2) {
      const [begin = 0, end = 0] = this.#edges.slice(at, at + 2);
      yield { offset: begin, length: end - begin };
    }
  }

  has(at: number): boolean {
    return this.#firstFrom(at, false) % 2 === 1;
  }

  add(begin: number, end: number): void {
    if (begin >= end) return;
    this.#put(begin, end, true);
    while (this.#edges.length > 2 * rangesMax) {
      this.rough = true;
      this.#edges.splice(-3, 2);
    }
  }

  subtract(begin: number, end: number): void {
    if (begin < end) this.#put(begin, end, false);
  }

  /** Everything between the two edges becomes inside, or outside. */
  #put(begin: number, end: number, inside: boolean): void {
    // Edges that touch count, so that neighbours become one, and nothing is left empty.
    const from = this.#firstFrom(begin, true);
    const to = this.#firstFrom(end, false);
    const before = from % 2 === 1;
    const behind = to % 2 === 1;
    const edges: number[] = [];
    if (before !== inside) edges.push(begin);
    if (behind !== inside) edges.push(end);
    this.#edges.splice(from, to - from, ...edges);
  }

  /** Number of the first edge at or behind `at`; with `touching` false, behind it. */
  #firstFrom(at: number, touching: boolean): number {
    let [low, high] = [0, this.#edges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const edge = this.#edges[middle] ?? 0;
      if (edge < at || (!touching && edge === at)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
