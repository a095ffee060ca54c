/** How often something may be done: `most` times at once, and once more every `everyMs`. Pure but for the clock. */

export class Allowance {
  readonly #most: number;
  readonly #everyMs: number;
  readonly #nowMs: () => number;
  #left: number;
  #sinceMs: number;

  constructor(most: number, everyMs: number, nowMs: () => number) {
    this.#most = most;
    this.#everyMs = everyMs;
    this.#nowMs = nowMs;
    this.#left = most;
    this.#sinceMs = nowMs();
  }

  /** True where it may be done now. */
  take(): boolean {
    const nowMs = this.#nowMs();
    // A clock that was set back gives nothing.
    this.#left = Math.min(this.#most, this.#left + Math.max(0, nowMs - this.#sinceMs) / this.#everyMs);
    this.#sinceMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
