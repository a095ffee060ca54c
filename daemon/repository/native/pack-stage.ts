/** What goes into a pack, collected in lent memory and written in large pieces.
 *
 *    add ─copy▶ buffer ─(full, or end)▶ write ─▶ buffer is free again
 *
 *  Promises: the pieces lie one behind the other and begin at multiples of a buffer's size, so that a storage may write them past the
 *  page cache; nothing is written after a write that failed; who waits for a buffer holds none, so that packs never wait for each
 *  other for ever. Knows nothing of what the bytes mean. */

import { stageBuffers } from '../../base/limits.ts';
import type { Part, Pool } from '../../memory/pool.ts';

export class PackStage {
  readonly #memory: Pool;
  readonly #write: (position: number, bytes: Uint8Array) => Promise<void>;
  readonly #failed: () => void;
  readonly #writes = new Set<Promise<void>>();
  #buffer: Part | undefined;
  #filledBytes = 0;
  #writtenBytes = 0;
  #last: Promise<void> = Promise.resolve();
  #isFailed = false;
  #failure: unknown;

  /** `memory`: of `stageBuffers` buffers, with which packs take turns. `failed`: called once, when a write fails. */
  constructor(
    memory: Pool,
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
      this.#buffer ??= await this.#memory.take(
        this.#memory.sizeBytes / stageBuffers,
        'what goes into a pack',
      );
      const room = this.#buffer.bytes.subarray(this.#filledBytes);
      const piece = bytes.subarray(done, done + room.length);
      room.set(piece);
      this.#filledBytes += piece.length;
      done += piece.length;
      if (piece.length === room.length) this.#send();
    }
  }

  #send(): void {
    const [buffer, position, bytes] = [this.#buffer, this.#writtenBytes, this.#filledBytes];
    if (buffer === undefined) return;
    this.#buffer = undefined;
    this.#filledBytes = 0;
    this.#writtenBytes += bytes;
    const written = (
      this.#isFailed ? Promise.resolve() : this.#write(position, buffer.bytes.subarray(0, bytes))
    )
      .catch((thrown: unknown) => this.#fail(thrown))
      .finally(() => {
        buffer.release();
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
