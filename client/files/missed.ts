/** Backups that a search through all points in time had to leave out.
 *  Promises: each is named on stderr when it is met, with the reason; the search goes on; what was found is never passed off as all:
 *  the command ends with the status of the first reason. A search that can't go on at all is ended at once. */

import type { BackupValue } from '../../daemon/protocol/values.ts';
import { RemoteFailure } from '../failure.ts';
import type { Session } from '../session.ts';
import { labelOf } from './points.ts';

export class Missed {
  readonly #session: Pick<Session, 'note' | 'complain'>;
  readonly #total: number;
  readonly #left: { readonly id: string; readonly failure: RemoteFailure }[] = [];

  constructor(session: Pick<Session, 'note' | 'complain'>, total: number) {
    this.#session = session;
    this.#total = total;
  }

  /** Throws what is wrong with the daemon or the way to it, and not with one backup. */
  leaveOut(point: BackupValue, thrown: unknown): void {
    if (!(thrown instanceof RemoteFailure) || thrown.fault.code === 'DAEMON_STOPPING') throw thrown;
    this.#left.push({ id: point.id, failure: thrown });
    this.#session.note(`Left out backup "${labelOf(point)}"`);
    this.#session.complain(thrown);
  }

  /** For the end, after what was found has been printed. */
  requireNone(): void {
    const [first] = this.#left;
    if (first === undefined) return;
    throw new RemoteFailure({
      code: first.failure.fault.code,
      message: `${this.#left.length} of ${this.#total} backups could not be looked into.`,
      hint: 'The lines above say why, one by one; the others are complete',
      details: { left_out: this.#left.map(({ id }) => id) },
    });
  }
}
