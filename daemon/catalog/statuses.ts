/** Every status of a backup, volume, snapshot, job and attachment, and which may follow which: the one place where that is said.
 *  Source: Cinder's words and rules for backups, volumes and snapshots. Pure.
 *  Promises: a status is given only by `begin` and `move` of these machines, and the catalog holds every write to them too. */

import { machine, type StatusOf } from '../base/machine.ts';

/** `available` at the beginning: it was found in a repository, or imported. */
export const backupStatus = machine('backup', ['creating', 'available'], {
  creating: ['available', 'error', 'deleting'],
  available: ['restoring', 'deleting', 'error'],
  // However a restore ends, the backup is as good as before.
  restoring: ['available'],
  error: ['deleting', 'available'],
  // Back to what it was, where nothing was removed.
  deleting: ['deleted', 'available', 'error', 'error_deleting'],
  error_deleting: ['deleting', 'error', 'available'],
  // The record may be imported again.
  deleted: ['creating', 'available'],
});

/** A backup leaves the volume as it was; a restore leaves it available, or with ranges of two contents. */
export const volumeStatus = machine('volume', ['available'], {
  available: ['backing-up', 'restoring-backup'],
  'backing-up': ['available', 'error_restoring'],
  'restoring-backup': ['available', 'error_restoring'],
  error_restoring: ['restoring-backup', 'backing-up', 'available'],
});

/** While a snapshot is backed up its volume is left alone. */
export const snapshotStatus = machine('snapshot', ['creating', 'available'], {
  creating: ['available'],
  available: ['backing-up', 'deleting'],
  'backing-up': ['available'],
  deleting: ['available'],
});

export const jobStatus = machine('job', ['queued'], {
  // Straight from the queue to its end: a job so short that it never was durably running.
  queued: ['running', 'done', 'failed', 'cancelled'],
  // Back into the queue: the daemon ended, and the job goes on when it is back.
  running: ['done', 'failed', 'cancelled', 'queued'],
  done: [],
  failed: [],
  cancelled: [],
});

/** Gone is no status: the record is removed when the device was seen to be gone. */
export const attachmentStatus = machine('attachment', ['attaching'], {
  attaching: ['attached', 'detaching', 'error', 'stale'],
  attached: ['detaching', 'error', 'stale'],
  detaching: ['error', 'stale'],
  // Something of it is left, and nobody uses it: it is detached again, or attached anew in its place.
  error: ['detaching', 'stale'],
  // The daemon that made it has ended: taken up again, or detached.
  stale: ['attached', 'detaching', 'error'],
});

export type BackupStatus = StatusOf<typeof backupStatus>;
export type VolumeStatus = StatusOf<typeof volumeStatus>;
export type SnapshotStatus = StatusOf<typeof snapshotStatus>;
export type JobStatus = StatusOf<typeof jobStatus>;
export type AttachmentStatus = StatusOf<typeof attachmentStatus>;
