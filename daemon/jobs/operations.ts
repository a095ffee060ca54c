/** Admission by number: backups, restores and verifications that run at the same time, whatever their project.
 *
 *    enter ─(a line a project; the lines take turns)▶ place ─▶ leave ─▶ the first of the line whose turn it is
 *
 *  Promises: never more than `limit`; within a project who waits is not overtaken; a project gets every n-th place where n
 *  projects wait, however long their lines are; who waits is told why, and again when his place in the line changes.
 *  Knows nothing of jobs. */

import { Fault } from '../base/faults.ts';
import { ordinal } from '../base/ordinal.ts';

export interface Visitor {
  readonly project: string;
  readonly signal: AbortSignal;
  /** Told why it waits. Not called where there is a place at once. */
  readonly onWait: (why: string) => void;
}

interface Waiting {
  readonly visitor: Visitor;
  readonly enter: () => void;
}

export class Operations {
  readonly #limit: number;
  #running = 0;
  /** Lines of the projects, none of them empty, in the order of their turns. */
  readonly #lines = new Map<string, Waiting[]>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Those who have a place. */
  get running(): number {
    return this.#running;
  }

  /** Waits for a place; gives the function that leaves it. CANCELLED if `signal` aborts first. */
  async enter(visitor: Visitor): Promise<() => void> {
    if (this.#running < this.#limit && this.#lines.size === 0) this.#running += 1;
    else await this.#wait(visitor);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      // The place goes to the next one at once, so that nobody slips in between.
      const next = this.#next();
      if (next === undefined) this.#running -= 1;
      else next.enter();
    };
  }

  #wait(visitor: Visitor): Promise<void> {
    const { project, signal } = visitor;
    return new Promise((resolve, reject) => {
      const cancel = () => {
        this.#remove(waiting);
        reject(
          signal.reason instanceof Fault ? signal.reason : new Fault('CANCELLED', 'Cancelled while waiting'),
        );
      };
      const enter = () => {
        signal.removeEventListener('abort', cancel);
        resolve();
      };
      const waiting = { visitor, enter };
      const line = this.#lines.get(project) ?? [];
      this.#lines.set(project, line);
      line.push(waiting);
      if (signal.aborted) {
        cancel();
        return;
      }
      signal.addEventListener('abort', cancel, { once: true });
      this.#tell(waiting, line.length);
    });
  }

  /** Takes the first of the line whose turn it is; the line goes behind the others. */
  #next(): Waiting | undefined {
    const [turn] = this.#lines;
    if (turn === undefined) return undefined;
    const [project, line] = turn;
    const first = line.shift();
    this.#lines.delete(project);
    if (line.length > 0) this.#lines.set(project, line);
    this.#tellFrom(line, 0);
    return first;
  }

  #remove(waiting: Waiting): void {
    const { project } = waiting.visitor;
    const line = this.#lines.get(project) ?? [];
    const place = line.indexOf(waiting);
    if (place < 0) return;
    line.splice(place, 1);
    if (line.length === 0) this.#lines.delete(project);
    this.#tellFrom(line, place);
  }

  #tellFrom(line: readonly Waiting[], first: number): void {
    for (const [place, waiting] of line.entries()) if (place >= first) this.#tell(waiting, place + 1);
  }

  #tell({ visitor }: Waiting, place: number): void {
    const { project, onWait } = visitor;
    onWait(
      `operations: ${this.#limit} of ${this.#limit} in use, ${ordinal(place)} in line of project ${project}`,
    );
  }
}
