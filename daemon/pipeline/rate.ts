/** A rate in bytes a second that may change at any time.
 *  Promises: over any time longer than a quarter of a second no more goes through than the rate allows, plus one step; a waiting
 *  step takes a new rate up within a tenth of a second. Knows nothing of what the bytes are. */

/** Time that may be caught up: a stall does not become a burst. */
const catchUpMs = 250;
/** A step waits in pieces, so that a changed rate and a cancellation count soon. */
const pieceMs = 100;

export class Rate {
  #bytesPerSecond: number;
  /** When all that was let through so far would be paid for, in milliseconds of `performance.now()`. */
  #paidAtMs = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** 0: no limit. */
  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }

  /** What is not paid for yet is paid at the new rate. */
  set bytesPerSecond(bytesPerSecond: number) {
    const nowMs = performance.now();
    const owedMs = Math.max(0, this.#paidAtMs - nowMs);
    if (bytesPerSecond > 0) this.#paidAtMs = nowMs + (owedMs * this.#bytesPerSecond) / bytesPerSecond;
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Waits until `bytes` may go. Returns early, without failing, when `signal` aborts: who is cancelled looks himself. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const nowMs = performance.now();
      if (this.bytesPerSecond === 0 || signal.aborted) return;
      this.#paidAtMs = Math.max(this.#paidAtMs, nowMs - catchUpMs);
      if (this.#paidAtMs <= nowMs) break;
      const waitMs = Math.min(pieceMs, this.#paidAtMs - nowMs);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
    this.#paidAtMs += (bytes * 1000) / this.bytesPerSecond;
  }
}

/** Takes from every rate in turn: the slowest one counts. */
export async function takeAll(rates: readonly Rate[], bytes: number, signal: AbortSignal): Promise<void> {
  for (const rate of rates) await rate.take(bytes, signal);
}
