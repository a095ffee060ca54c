/** Asks the ways to a device who is there, again and again while it is used: an array can show another volume under the same number,
 *  and the kernel does not tell those who have it open.
 *
 *    look ─▶ each way that owes no answer is asked ─▶ all have answered, or one has and the others were given a while
 *
 *  Promises: a look counts only answers to what it has asked itself; a way that hangs holds up no look and is not asked again meanwhile,
 *  and its answer counts whenever it comes; once another volume was seen, every look says so. What answers under the name of a way that
 *  has gone is nobody's: the kernel gives names of disks again. */

import { setTimeout as pause } from 'node:timers/promises';
import type { Fault } from '../../base/faults.ts';
import type { StoredIdentity } from '../../catalog/records.ts';
import type { AskablePath } from '../../devices/connect/connector.ts';
import { compareIdentity } from '../../devices/connect/identity.ts';
import { wrongDevice } from '../../devices/connect/trouble.ts';

export interface GlanceParts {
  readonly url: string;
  readonly wanted: StoredIdentity;
  readonly paths: () => Promise<readonly AskablePath[]>;
  /** How long the others are waited for once one has answered. */
  readonly graceMs?: number;
}

const usualGraceMs = 500;

export class Glances {
  readonly #parts: GlanceParts;
  readonly #owed = new Set<string>();
  #wrong: Fault | undefined;
  #underWay: Promise<boolean> | undefined;
  #next: Promise<boolean> | undefined;

  constructor(parts: GlanceParts) {
    this.#parts = parts;
  }

  /** WRONG_DEVICE as soon as it is known. */
  throwIfWrong(): void {
    if (this.#wrong !== undefined) throw this.#wrong;
  }

  /** True where a way has answered that was asked after this call, and none leads elsewhere; false where none answers. */
  async look(): Promise<boolean> {
    this.throwIfWrong();
    // Who comes while one is under way shares the next one.
    this.#next ??= this.#after(this.#underWay);
    const same = await this.#next;
    this.throwIfWrong();
    return same;
  }

  async #after(before: Promise<boolean> | undefined): Promise<boolean> {
    await before;
    this.#underWay = this.#next;
    this.#next = undefined;
    return this.#askAll();
  }

  async #askAll(): Promise<boolean> {
    const paths = await this.#parts.paths().catch(() => []);
    const asked = paths.filter(({ device }) => !this.#owed.has(device)).map((path) => this.#ask(path));
    const first = Promise.any(asked.map(async (one) => ((await one) ? true : Promise.reject(new Error()))));
    const all = Promise.allSettled(asked);
    const same = await first.catch(() => false);
    if (same)
      await Promise.race([all, pause(this.#parts.graceMs ?? usualGraceMs, undefined, { ref: false })]);
    return same;
  }

  async #ask(path: AskablePath): Promise<boolean> {
    const { via, device } = path;
    const { url, wanted } = this.#parts;
    this.#owed.add(device);
    try {
      const verdict = compareIdentity(wanted, await path.ask());
      if (!verdict.same && (await this.#isPath(device)))
        this.#wrong ??= wrongDevice(url, `on the path ${via} ${verdict.why}`);
      return verdict.same;
    } catch {
      // That it does not answer is for who reads and writes to find out.
      return false;
    } finally {
      this.#owed.delete(device);
    }
  }

  /** True also where nobody can say. */
  async #isPath(device: string): Promise<boolean> {
    const paths = await this.#parts.paths().catch(() => undefined);
    return paths?.some((one) => one.device === device) ?? true;
  }
}
