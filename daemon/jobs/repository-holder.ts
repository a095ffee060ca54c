/** One repository of the daemon, open or not. The daemon runs without one too: it says why, and tries again
 *  when somebody needs it. Promises: at most one opening at a time. Knows nothing of settings: how to open is handed in. */

import { Fault, toFault } from '../base/faults.ts';
import type { InitOptions, Repository } from '../repository/repository.ts';

export interface RepositoryParts {
  readonly url: string;
  readonly open: () => Promise<Repository>;
  /** Called each time it has been opened, before anybody gets it; must not throw. */
  readonly onOpen: () => Promise<void>;
  readonly init: (options: InitOptions) => Promise<void>;
}

export class RepositoryHolder {
  readonly url: string;
  readonly #parts: RepositoryParts;
  #closed = false;
  #repository: Repository | undefined;
  #opening: Promise<Repository> | undefined;
  #fault: Fault | undefined;

  constructor(parts: RepositoryParts) {
    this.#parts = parts;
    this.url = parts.url;
  }

  /** The repository, opened now where it was not. The fault says what stands in the way. */
  async get(): Promise<Repository> {
    if (this.#repository !== undefined) return this.#repository;
    if (this.#closed) throw new Fault('REPOSITORY_UNKNOWN', `Cannot use "${this.url}": it was removed`);
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** The repository if it is open. */
  get current(): Repository | undefined {
    return this.#repository;
  }

  /** Why it is not open; undefined where it is. */
  get fault(): Fault | undefined {
    return this.#repository === undefined ? this.#fault : undefined;
  }

  /** REPOSITORY_EXISTS. One of somebody else may be taken over while it is open. */
  async init(options: InitOptions): Promise<Repository> {
    if (this.#repository?.takeOver !== undefined) {
      await this.#repository.takeOver(options);
      return this.#repository;
    }
    if (this.#repository !== undefined) {
      throw new Fault('REPOSITORY_EXISTS', `Cannot make a repository at "${this.url}": there is one already`);
    }
    await this.#parts.init(options);
    return this.get();
  }

  /** It can't be opened again afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#opening?.catch(() => undefined);
    await this.#repository?.close();
    this.#repository = undefined;
  }

  async #open(): Promise<Repository> {
    try {
      this.#repository = await this.#parts.open();
      this.#fault = undefined;
      await this.#parts.onOpen();
      return this.#repository;
    } catch (thrown) {
      this.#fault = toFault(thrown);
      throw this.#fault;
    }
  }
}
