/** The service as operators know it from Cinder: is it enabled, and can its repositories be used.
 *  Promises: "disabled" survives a restart; a report comes within seconds, also where a storage hangs.
 *  Knows nothing of the socket. */

import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/faults.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { KnownRepository, Repositories } from './repositories.ts';
import { type Look, RepositoryWatch } from './repository-watch.ts';

export interface ServiceParts {
  readonly catalog: Catalog;
  readonly repositories: Pick<Repositories, 'list'>;
  readonly clock: Clock;
  readonly host: string;
  readonly zone: string;
  /** Between two looks at the repositories. */
  readonly everyMs: number;
}

export interface ServiceReport {
  readonly isEnabled: boolean;
  readonly disabledReason: string;
  /** Of each repository, the one of the settings first. */
  readonly repositories: readonly { readonly name: string; readonly url: string; readonly look: Look }[];
}

const disabledFact = 'service_disabled';

export class ServiceState {
  /** Name of this host, as records have it. */
  readonly host: string;
  /** Availability zone of backups that name none. */
  readonly zone: string;
  readonly #parts: ServiceParts;
  readonly #timer: NodeJS.Timeout;
  readonly #watches = new WeakMap<KnownRepository['holder'], RepositoryWatch>();

  constructor(parts: ServiceParts) {
    this.#parts = parts;
    this.host = parts.host;
    this.zone = parts.zone;
    const lookAround = () => {
      // A further repository takes memory while it is open: only who asks for it opens it.
      const watched = parts.repositories
        .list()
        .filter(({ holder }, at) => at === 0 || holder.current !== undefined);
      for (const known of watched) void this.#watchOf(known).look();
    };
    this.#timer = setInterval(lookAround, parts.everyMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** SERVICE_DISABLED while the service takes no new backups. */
  requireEnabled(): void {
    const fact = this.#parts.catalog.get('facts', disabledFact);
    if (fact === undefined) return;
    const why = fact.value === '' ? '' : `: ${fact.value}`;
    throw new Fault('SERVICE_DISABLED', `Cannot back up on host "${this.host}": it is disabled${why}`);
  }

  /** `reason`: why it is disabled; undefined enables it. */
  async set(reason: string | undefined): Promise<void> {
    await this.#parts.catalog.commit((changes) => {
      if (reason === undefined) changes.remove('facts', disabledFact);
      else changes.put('facts', { id: disabledFact, value: reason });
    });
  }

  /** What is known now; waits a little for a fresh look at each repository. */
  async report(): Promise<ServiceReport> {
    const known = this.#parts.repositories.list();
    const repositories = await Promise.all(
      known.map(async (one) => ({ name: one.id, url: one.url, look: await this.#watchOf(one).fresh() })),
    );
    const disabled = this.#parts.catalog.get('facts', disabledFact);
    return { isEnabled: disabled === undefined, disabledReason: disabled?.value ?? '', repositories };
  }

  #watchOf({ holder }: KnownRepository): RepositoryWatch {
    const watch = this.#watches.get(holder) ?? new RepositoryWatch(holder, this.#parts.clock);
    this.#watches.set(holder, watch);
    return watch;
  }
}
