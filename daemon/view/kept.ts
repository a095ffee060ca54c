/** The few things of backups that are kept at a time: opened backups, partition tables. Promises: at most `max` are kept;
 *  what failed is not remembered; one thing is made once, however many ask. Knows nothing of FUSE. */

export class Kept<T> {
  readonly #max: number;
  readonly #make: (backupId: string) => Promise<T>;
  /** In the order of last use. */
  readonly #kept = new Map<string, Promise<T>>();

  constructor(max: number, make: (backupId: string) => Promise<T>) {
    this.#max = max;
    this.#make = make;
  }

  async get(backupId: string): Promise<T> {
    const making = this.#kept.get(backupId) ?? this.#make(backupId);
    this.#kept.delete(backupId);
    this.#kept.set(backupId, making);
    for (const [oldest] of this.#kept) {
      if (this.#kept.size <= this.#max) break;
      this.#kept.delete(oldest);
    }
    try {
      return await making;
    } catch (thrown) {
      if (this.#kept.get(backupId) === making) this.#kept.delete(backupId);
      throw thrown;
    }
  }

  drop(backupId: string): void {
    this.#kept.delete(backupId);
  }
}
