/** The statuses of a backup (Cinder's words) and the one table of which may follow which. Pure. */

const next = {
  creating: ['available', 'error', 'deleting'],
  available: ['restoring', 'deleting', 'error'],
  restoring: ['available', 'error'],
  error: ['deleting', 'available'],
  deleting: ['deleted', 'error', 'error_deleting'],
  error_deleting: ['deleting', 'error'],
  deleted: [],
} as const satisfies Record<string, readonly string[]>;

export type BackupStatus = keyof typeof next;

export const backupStatuses = Object.keys(next) as BackupStatus[];

/** True where a backup in status `from` may become `to`. */
export const mayBecome = (from: BackupStatus, to: BackupStatus): boolean =>
  (next[from] as readonly string[]).includes(to);
