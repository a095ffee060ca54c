/** A random sample of what was kept without reading it, to be compared with the source before anybody relies on it.
 *  Promises: every block has the same chance to be in the sample, however many come; memory is bounded by the sample.
 *  Source: J. S. Vitter's reservoir sampling, with the skips of K.-H. Li's algorithm L. Pure but for the dice. */

export interface SampledBlock {
  readonly offset: number;
  /** What the parent says is there; undefined: zeros. */
  readonly address: Uint8Array | undefined;
}

/** One in so many is compared, at least and at most so many. */
const sampleOneIn = 1000;
export const sampleBlocksMin = 64;
export const sampleBlocksMax = 2048;

export class Sample {
  readonly #taken: SampledBlock[] = [];
  readonly #random: () => number;
  #offered = 0;
  /** Number of the next block to be taken, once the reservoir is full. */
  #next = 0;
  #weight = 1;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Offers `count` blocks; `block` makes the one of the number, and is called only for those that are taken. */
  offer(count: number, block: (number: number) => SampledBlock): void {
    const before = this.#offered;
    this.#offered += count;
    let number = 0;
    for (; number < count && this.#taken.length < sampleBlocksMax; number += 1) {
      this.#taken.push(block(number));
      if (this.#taken.length === sampleBlocksMax) this.#skip(before + number);
    }
    while (this.#taken.length === sampleBlocksMax && this.#next < this.#offered) {
      this.#taken[Math.floor(this.#random() * sampleBlocksMax)] = block(this.#next - before);
      this.#skip(this.#next);
    }
  }

  /** The blocks to compare, in the order of the source. */
  blocks(): SampledBlock[] {
    const wanted = Math.max(sampleBlocksMin, Math.ceil(this.#offered / sampleOneIn));
    const chosen = [...this.#taken];
    for (let place = 0; place < Math.min(wanted, chosen.length); place += 1) {
      const other = place + Math.floor(this.#random() * (chosen.length - place));
      const [a, b] = [chosen[place], chosen[other]];
      if (a !== undefined && b !== undefined) [chosen[place], chosen[other]] = [b, a];
    }
    return chosen.slice(0, wanted).sort((a, b) => a.offset - b.offset);
  }

  /** Chooses how many blocks after number `at` go by before the next one is taken. */
  #skip(at: number): void {
    this.#weight *= this.#dice() ** (1 / sampleBlocksMax);
    this.#next = at + 1 + Math.floor(Math.log(this.#dice()) / Math.log1p(-this.#weight));
  }

  /** Above 0, so that it has a logarithm. */
  #dice(): number {
    return 1 - this.#random();
  }
}
