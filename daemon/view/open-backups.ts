/** The few backups that are open at a time. Promises: at most `viewOpenBackupsMax` are kept; an opening that failed is not
 *  remembered; one backup is opened once, however many ask. Knows nothing of FUSE. */

import { viewOpenBackupsMax } from '../base/limits.ts';
import type { OpenBackup } from './tree.ts';

export class OpenBackups {
  readonly #open: (backupId: string) => Promise<OpenBackup>;
  /** In the order of last use. */
  readonly #kept = new Map<string, Promise<OpenBackup>>();

  constructor(open: (backupId: string) => Promise<OpenBackup>) {
    this.#open = open;
  }

  async get(backupId: string): Promise<OpenBackup> {
    const opening = this.#kept.get(backupId) ?? this.#open(backupId);
    this.#kept.delete(backupId);
    this.#kept.set(backupId, opening);
    for (const [oldest] of this.#kept) {
      if (this.#kept.size <= viewOpenBackupsMax) break;
      this.#kept.delete(oldest);
    }
    try {
      return await opening;
    } catch (thrown) {
      if (this.#kept.get(backupId) === opening) this.#kept.delete(backupId);
      throw thrown;
    }
  }

  drop(backupId: string): void {
    this.#kept.delete(backupId);
  }
}
