/** All repositories of this daemon, by name: the one of the settings, and those that an operator has added.
 *  Promises: every name has one holder; a store is never open under two names; an added one outlives a restart.
 *  Knows nothing of how a repository is opened: that is handed in. */

import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/faults.ts';
import { repositoriesMax } from '../base/limits.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackupRecord, RepositoryRecord } from '../catalog/records.ts';
import type { Repository } from '../repository/repository.ts';
import type { RepositoryHolder } from './repository-holder.ts';

/** What is asked for; the URL in the one spelling that is compared. */
export type RepositoryOrder = Pick<RepositoryRecord, 'id' | 'url' | 'kind' | 'read_only'>;

export interface RepositoriesParts {
  readonly catalog: Catalog;
  readonly clock: Clock;
  /** The one of the settings. */
  readonly initial: RepositoryOrder;
  readonly hold: (order: RepositoryOrder) => RepositoryHolder;
  /** The kind that a URL means, and its one spelling. INVALID_ARGUMENT. */
  readonly parse: (url: string) => Pick<RepositoryRecord, 'url' | 'kind'>;
}

export interface KnownRepository extends RepositoryOrder {
  readonly holder: RepositoryHolder;
}

export class Repositories {
  readonly #parts: RepositoriesParts;
  readonly #known = new Map<string, KnownRepository>();

  constructor(parts: RepositoriesParts) {
    this.#parts = parts;
    const added = Array.from(parts.catalog.all('repositories'));
    for (const order of [parts.initial, ...added]) this.#hold(order);
  }

  /** REPOSITORY_UNKNOWN. */
  known(name: string): KnownRepository {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    throw new Fault('REPOSITORY_UNKNOWN', `Cannot find repository "${name}"`);
  }

  /** The repository of that name, opened now where it was not. */
  get(name: string): Promise<Repository> {
    return this.known(name).holder.get();
  }

  /** The repository that holds a backup. */
  of(backup: Pick<BackupRecord, 'repository'>): Promise<Repository> {
    return this.get(backup.repository);
  }

  /** The one of the settings first, then by name. */
  list(): KnownRepository[] {
    const [initial, ...added] = this.#known.values();
    const sorted = added.sort((a, b) => (a.id < b.id ? -1 : 1));
    return initial === undefined ? [] : [initial, ...sorted];
  }

  /** Opens it, and remembers it where that went well or nothing is there yet. */
  async add(name: string, url: string, readOnly: boolean): Promise<KnownRepository> {
    const order = { id: name, ...this.#parts.parse(url), read_only: readOnly };
    this.#refuseKnown(order);
    const known = this.#hold(order);
    try {
      const fault = await known.holder.get().then(() => undefined, toFault);
      if (fault !== undefined && fault.code !== 'REPOSITORY_MISSING') throw fault;
      await this.#parts.catalog.commit((changes) =>
        changes.put('repositories', {
          ...order,
          created_at: new Date(this.#parts.clock.now()).toISOString(),
        }),
      );
      return known;
    } catch (thrown) {
      this.#known.delete(name);
      await known.holder.close();
      throw thrown;
    }
  }

  /** Forgets it, and the records of `backups` with it, in one transaction. Nothing of what it holds is touched. */
  async remove(name: string, backups: readonly BackupRecord[]): Promise<void> {
    const { holder } = this.known(name);
    await this.#parts.catalog.commit((changes) => {
      for (const { id } of backups) changes.remove('backups', id);
      changes.remove('repositories', name);
    });
    this.#known.delete(name);
    await holder.close();
  }

  async close(): Promise<void> {
    for (const { holder } of this.#known.values()) await holder.close();
  }

  #hold(order: RepositoryOrder): KnownRepository {
    const { id, url, kind, read_only } = order;
    const known = { id, url, kind, read_only, holder: this.#parts.hold(order) };
    this.#known.set(order.id, known);
    return known;
  }

  #refuseKnown({ id, url }: RepositoryOrder): void {
    for (const other of this.#known.values()) {
      if (other.id !== id && other.url !== url) continue;
      const message = `Cannot add repository "${id}": "${other.id}" is at "${other.url}" already`;
      throw new Fault('ALREADY_EXISTS', message);
    }
    if (this.#known.size >= repositoriesMax) {
      throw new Fault('TOO_MANY', `Cannot add repository "${id}": there are ${repositoriesMax} already`, {
        hint: 'Remove one that is not needed: basaltctl repository remove NAME',
      });
    }
  }
}
