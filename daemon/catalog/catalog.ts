/** The catalog: this host's fast copy of what the repository says, and what is local (volumes, jobs, mounts).
 *  Promises: `commit` resolves when the change is flushed to disk (W3), all of it or nothing; reading never waits.
 *  Knows nothing of LMDB: that is `lmdb-catalog.ts`. */

import type {
  AttachmentRecord,
  BackupRecord,
  CheckpointRecord,
  FactRecord,
  JobRecord,
  MountRecord,
  QuotaRecord,
  RepositoryRecord,
  SnapshotRecord,
  VolumeRecord,
} from './records.ts';
import type { Usage } from './usage.ts';

export interface Tables {
  readonly volumes: VolumeRecord;
  readonly snapshots: SnapshotRecord;
  readonly backups: BackupRecord;
  readonly jobs: JobRecord;
  readonly mounts: MountRecord;
  readonly attachments: AttachmentRecord;
  readonly facts: FactRecord;
  readonly quotas: QuotaRecord;
  readonly repositories: RepositoryRecord;
  readonly checkpoints: CheckpointRecord;
}

export type TableName = keyof Tables;

export interface Changes {
  put<T extends TableName>(table: T, record: Tables[T]): void;
  remove(table: TableName, id: string): void;
}

/** Backups found without reading all of them; records are read while iterated. */
export interface BackupOrders {
  /** By when they were made; `after`: begins behind that one. */
  newestFirst(after?: BackupRecord): Iterable<BackupRecord>;
  oldestFirst(after?: BackupRecord): Iterable<BackupRecord>;
  /** Newest first. */
  ofVolume(volumeId: string): Iterable<BackupRecord>;
  named(name: string): Iterable<BackupRecord>;
  /** Those in the middle of something: creating, restoring, deleting. */
  unsettled(): Iterable<BackupRecord>;
  /** Those whose `created_at` begins so, of one volume or of all; oldest first. */
  made(beginning: string, volumeId?: string): Iterable<BackupRecord>;
  /** Another number after each commit that touched a backup. */
  generation(): number;
  /** Ids of the volumes that have backups. */
  volumeIds(): Iterable<string>;
}

export interface Catalog {
  readonly backups: BackupOrders;
  get<T extends TableName>(table: T, id: string): Tables[T] | undefined;
  /** All records of a table in the order of their ids, read while iterated. */
  all<T extends TableName>(table: T): Iterable<Tables[T]>;
  count(table: TableName): number;
  /** What the backups of a project take, by one look. Within `commit` it counts what the change has put before. */
  usage(project: string): Usage;
  /** Resolves when nobody else can read the file, and usage is counted: that takes time at the first opening of a catalog of an
   *  earlier version only. */
  ready(): Promise<void>;
  /** A Fault that `change` throws is thrown on, and nothing is kept: a check and what it allows are one step. */
  commit(change: (changes: Changes) => void): Promise<void>;
  close(): Promise<void>;
}
