/** The readers that run, whoever they were started for. Promises: at most `readersMax` at a time, besides those that were
 *  told to end and answer what they were asked before; one that nobody has used for `readerIdleMs`
 *  ends; where there is no room, the one that nobody has used for longest makes some. Knows nothing of what they read. */

import { setTimeout as wait } from 'node:timers/promises';
import { Fault } from '../../base/faults.ts';
import { readerIdleMs, readersMax, readerWaitMs } from '../../base/limits.ts';

export interface PoolMember {
  /** How long nobody has used it; 0 while somebody does. */
  idleMs(): number;
  /** It leaves the pool. */
  end(): void;
}

const pollMs = 25;

export class ReaderPool {
  readonly #members = new Set<PoolMember>();
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  constructor() {
    this.#timer = setInterval(() => this.#endIdle(), readerIdleMs / 4).unref();
  }

  /** TOO_MANY where all are in use, DAEMON_STOPPING. */
  enter(member: PoolMember): void {
    if (this.#closed) throw new Fault('DAEMON_STOPPING', 'Cannot read files: the daemon is stopping');
    if (this.#members.size >= readersMax) {
      const idle = [...this.#members].map((other) => ({ other, idleMs: other.idleMs() }));
      const [oldest] = idle.filter(({ idleMs }) => idleMs > 0).sort((a, b) => b.idleMs - a.idleMs);
      if (oldest === undefined)
        throw new Fault('TOO_MANY', `Cannot read files: "${readersMax}" file systems are being read already`);
      oldest.other.end();
      this.#members.delete(oldest.other);
    }
    this.#members.add(member);
  }

  /** The same; waits for a while until one is not in use. */
  async enterWhenFree(member: PoolMember): Promise<void> {
    for (let waitedMs = 0; ; waitedMs += pollMs) {
      try {
        this.enter(member);
        return;
      } catch (thrown) {
        if (!(thrown instanceof Fault) || thrown.code !== 'TOO_MANY' || waitedMs >= readerWaitMs)
          throw thrown;
      }
      await wait(pollMs);
    }
  }

  leave(member: PoolMember): void {
    this.#members.delete(member);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const member of this.#members) member.end();
    this.#members.clear();
  }

  #endIdle(): void {
    for (const member of this.#members) {
      if (member.idleMs() < readerIdleMs) continue;
      this.#members.delete(member);
      member.end();
    }
  }
}
