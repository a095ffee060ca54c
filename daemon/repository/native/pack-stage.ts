/** What goes into a pack, collected in lent memory and written in large pieces.
 *
 *    add ─copy▶ buffer ─(full, or end)▶ write ─▶ buffer is free again
 *
 *  Promises: the pieces lie one behind the other and begin at multiples of a buffer's size, so that a storage may write them past the
 *  page cache; nothing is written after a write that failed; who waits for a buffer holds none, so that packs never wait for each
 *  other for ever. Knows nothing of what the bytes mean. */

import { assert } from '../../base/assert.ts';

/** One is filled while another is written. */
export const stageBuffers = 2;

/** Buffers that the packs of a repository take turns with. */
export class StageMemory {
  readonly #free: Uint8Array[] = [];
  readonly #waiting: ((buffer: Uint8Array) => void)[] = [];

  constructor(memory: Uint8Array) {
    const bytes = memory.length / stageBuffers;
    assert(Number.isInteger(bytes / 4096) && bytes > 0, 'buffers are whole pages');
    for (let number = 0; number < stageBuffers; number += 1)
      this.#free.push(memory.subarray(number * bytes, (number + 1) * bytes));
  }

  async take(): Promise<Uint8Array> {
    return this.#free.pop() ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  give(buffer: Uint8Array): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(buffer);
    else next(buffer);
  }
}

export class PackStage {
  readonly #memory: StageMemory;
  readonly #write: (position: number, bytes: Uint8Array) => Promise<void>;
  readonly #failed: () => void;
  readonly #writes = new Set<Promise<void>>();
  #buffer: Uint8Array | undefined;
  #filledBytes = 0;
  #writtenBytes = 0;
  #last: Promise<void> = Promise.resolve();
  #isFailed = false;
  #failure: unknown;

  /** `failed`: called once, when a write fails. */
  constructor(
    memory: StageMemory,
    write: (position: number, bytes: Uint8Array) => Promise<void>,
    failed: () => void,
  ) {
    this.#memory = memory;
    this.#write = write;
    this.#failed = failed;
  }

  /** Takes `bytes` over, behind those of earlier calls; they may be used again when it resolves. Never rejects. */
  add(bytes: Uint8Array): Promise<void> {
    this.#last = this.#last.then(() => this.#copy(bytes));
    return this.#last;
  }

  /** Writes all that is left, and waits for it; throws the first failure. Nothing is added afterwards. */
  async end(): Promise<void> {
    await this.#last;
    this.#send();
    await Promise.all(this.#writes);
    if (this.#isFailed) throw this.#failure;
  }

  async #copy(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length && !this.#isFailed; ) {
      this.#buffer ??= await this.#memory.take();
      const length = Math.min(bytes.length - done, this.#buffer.length - this.#filledBytes);
      this.#buffer.set(bytes.subarray(done, done + length), this.#filledBytes);
      this.#filledBytes += length;
      done += length;
      if (this.#filledBytes === this.#buffer.length) this.#send();
    }
  }

  #send(): void {
    const [buffer, position, bytes] = [this.#buffer, this.#writtenBytes, this.#filledBytes];
    if (buffer === undefined) return;
    this.#buffer = undefined;
    this.#filledBytes = 0;
    this.#writtenBytes += bytes;
    const written = (this.#isFailed ? Promise.resolve() : this.#write(position, buffer.subarray(0, bytes)))
      .catch((thrown: unknown) => this.#fail(thrown))
      .finally(() => {
        this.#memory.give(buffer);
        this.#writes.delete(written);
      });
    this.#writes.add(written);
  }

  #fail(thrown: unknown): void {
    if (this.#isFailed) return;
    this.#isFailed = true;
    this.#failure = thrown;
    this.#failed();
  }
}
