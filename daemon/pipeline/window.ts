/** Runs steps with a bounded number under way, beginning them in order. The first failure stops new steps, waits for those under
 *  way, and is thrown. Promises: `begin` resolves only when a slot is free; no step is left running when `drain` ends.
 *  Knows nothing of what a step does. */

export class Window<Slot> {
  readonly #free: Slot[];
  readonly #underWay = new Set<Promise<void>>();
  #failed = false;
  #failure: unknown;
  readonly #most: () => number;

  /** `most`: steps that may be under way just now, where that is less than there are slots. */
  constructor(slots: readonly Slot[], most: () => number) {
    this.#free = [...slots];
    this.#most = most;
  }

  /** Begins `step` with a free slot (memory that nobody else uses until the step ends). Throws an earlier step's failure. */
  async begin(step: (slot: Slot) => Promise<void>): Promise<void> {
    while (this.#isFull() && !this.#failed) await Promise.race(this.#underWay);
    const slot = this.#free.pop();
    if (this.#failed || slot === undefined) throw this.#failure;
    const running = step(slot)
      .catch((thrown: unknown) => {
        if (!this.#failed) this.#failure = thrown;
        this.#failed = true;
      })
      .finally(() => {
        this.#free.push(slot);
        this.#underWay.delete(running);
      });
    this.#underWay.add(running);
  }

  #isFull(): boolean {
    return this.#free.length === 0 || this.#underWay.size >= Math.max(1, this.#most());
  }

  /** Waits for all steps; throws the first failure. */
  async drain(): Promise<void> {
    await this.settle();
    if (this.#failed) throw this.#failure;
  }

  /** Waits for all steps, whatever they come to: afterwards nobody uses the slots. */
  async settle(): Promise<void> {
    await Promise.all(this.#underWay);
  }
}
