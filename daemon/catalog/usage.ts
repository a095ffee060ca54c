/** What the backups of a project take: whole numbers that follow from the records alone. Pure.
 *  Promises: `counted` of a record is what it adds to its project, so that the usage of a project is the sum over its records
 *  at any time. A backup in status creating is a reservation: it needs nothing beside its record, so none can leak. */

import { GiB } from '../base/bytes.ts';
import type { BackupRecord } from './records.ts';

export interface Usage {
  /** Backups there are, and their sizes in whole GiB, each rounded up; those being made are not among them. */
  readonly backups: number;
  readonly gigabytes: number;
  /** The same of backups being made. */
  readonly reserved_backups: number;
  readonly reserved_gigabytes: number;
  /** Sum of the sizes of the volumes, whatever is stored of them. */
  readonly logical_bytes: number;
  /** Bytes of volumes that no backup before had, and what they take in the repository. */
  readonly new_bytes: number;
  readonly stored_bytes: number;
}

export const noUsage: Usage = {
  backups: 0,
  gigabytes: 0,
  reserved_backups: 0,
  reserved_gigabytes: 0,
  logical_bytes: 0,
  new_bytes: 0,
  stored_bytes: 0,
};

/** As Cinder counts: the whole size of the volume, also for an incremental backup. */
export const gigabytesOf = (sizeBytes: number): number => Math.ceil(sizeBytes / GiB);

/** What one backup adds to the usage of its project. */
export function counted(backup: BackupRecord): Usage {
  if (backup.status === 'deleted') return noUsage;
  const { size_bytes, new_bytes, stored_bytes } = backup;
  const bytes = { logical_bytes: size_bytes, new_bytes, stored_bytes };
  const gigabytes = gigabytesOf(size_bytes);
  return backup.status === 'creating'
    ? { ...noUsage, ...bytes, reserved_backups: 1, reserved_gigabytes: gigabytes }
    : { ...noUsage, ...bytes, backups: 1, gigabytes };
}

const combine =
  (sign: 1 | -1) =>
  (a: Usage, b: Usage): Usage => ({
    backups: a.backups + sign * b.backups,
    gigabytes: a.gigabytes + sign * b.gigabytes,
    reserved_backups: a.reserved_backups + sign * b.reserved_backups,
    reserved_gigabytes: a.reserved_gigabytes + sign * b.reserved_gigabytes,
    logical_bytes: a.logical_bytes + sign * b.logical_bytes,
    new_bytes: a.new_bytes + sign * b.new_bytes,
    stored_bytes: a.stored_bytes + sign * b.stored_bytes,
  });

export const plus = combine(1);
export const minus = combine(-1);
