/** How many backups a project may have, and how large.
 *  Promises: `require` within `commit` is one step with the record that it allows, so that any number of requests at the same
 *  time end at the limit, never beyond; the record itself is the reservation, so that a crash leaks nothing.
 *  Knows nothing of who asks. */

import { Fault } from '../base/faults.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { QuotaRecord } from '../catalog/records.ts';
import { gigabytesOf } from '../catalog/usage.ts';

/** -1: no limit. */
export interface Limits {
  readonly backups: number;
  readonly backup_gigabytes: number;
}

export interface LimitChange {
  /** null: the default again; undefined: stays. */
  readonly backups: number | null | undefined;
  readonly backup_gigabytes: number | null | undefined;
}

export interface QuotaLineReport {
  readonly in_use: number;
  readonly reserved: number;
  readonly limit: number;
}

export class Quotas {
  readonly #catalog: Catalog;
  readonly #defaults: Limits;

  constructor(catalog: Catalog, defaults: Limits) {
    this.#catalog = catalog;
    this.#defaults = defaults;
  }

  limitsOf(project: string): Limits {
    const own = this.#catalog.get('quotas', project);
    return {
      backups: own?.backups ?? this.#defaults.backups,
      backup_gigabytes: own?.backup_gigabytes ?? this.#defaults.backup_gigabytes,
    };
  }

  /** Changes the limits of a project, durably. What it has already stays. */
  async change(project: string, { backups, backup_gigabytes }: LimitChange): Promise<Limits> {
    await this.#catalog.commit((changes) => {
      const known = this.#catalog.get('quotas', project);
      const record: QuotaRecord = {
        id: project,
        backups: backups === undefined ? (known?.backups ?? null) : backups,
        backup_gigabytes:
          backup_gigabytes === undefined ? (known?.backup_gigabytes ?? null) : backup_gigabytes,
      };
      if (record.backups === null && record.backup_gigabytes === null) changes.remove('quotas', project);
      else changes.put('quotas', record);
    });
    return this.limitsOf(project);
  }

  /** Usage beside limits. */
  lines(project: string): { backups: QuotaLineReport; backup_gigabytes: QuotaLineReport } {
    const { backups, gigabytes, reserved_backups, reserved_gigabytes } = this.#catalog.usage(project);
    const limits = this.limitsOf(project);
    return {
      backups: { in_use: backups, reserved: reserved_backups, limit: limits.backups },
      backup_gigabytes: { in_use: gigabytes, reserved: reserved_gigabytes, limit: limits.backup_gigabytes },
    };
  }

  /** OVER_QUOTA where one more backup of `sizeBytes` is too much for the project. To be called within the `commit` that puts
   *  the record, before it is put. */
  require(project: string, sizeBytes: number): void {
    this.#requireMore(project, { backups: 1, backup_gigabytes: gigabytesOf(sizeBytes) });
  }

  /** OVER_QUOTA where a backup that counts `from` bytes may not count `to`. To be called as `require`. */
  requireGrowth(project: string, from: number, to: number): void {
    const backup_gigabytes = gigabytesOf(to) - gigabytesOf(from);
    if (backup_gigabytes > 0) this.#requireMore(project, { backups: 0, backup_gigabytes });
  }

  #requireMore(project: string, wanted: Limits): void {
    const lines = this.lines(project);
    const beyond = (['backups', 'backup_gigabytes'] as const).filter((resource) => {
      const { in_use, reserved, limit } = lines[resource];
      return limit >= 0 && wanted[resource] > 0 && in_use + reserved + wanted[resource] > limit;
    });
    if (beyond.length === 0) return;
    const numbers = beyond.map((resource) => {
      const { in_use, reserved, limit } = lines[resource];
      return `${resource}: limit ${limit}, in use ${in_use}, reserved ${reserved}, wanted ${wanted[resource]}`;
    });
    throw new Fault('OVER_QUOTA', `Cannot add a backup to project "${project}": it would be over its quota`, {
      hint: `${numbers.join('; ')}. Delete backups, or ask an administrator: basaltctl quota set`,
      details: { project_id: project, over: beyond, wanted, ...lines },
    });
  }
}
