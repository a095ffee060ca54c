/** Records of the catalog for tests that need some, not particular ones. */

import { type BackupRecord, lacking } from '../../daemon/catalog/records.ts';
import type { SnapshotMark } from '../../daemon/devices/snapshots/maker.ts';

const then = '2026-01-01T00:00:00.000Z';

/** Of a snapshot in a thin pool. */
export const thinMark: SnapshotMark = {
  kind: 'lvm-thin',
  group: 'g',
  pool: 'p',
  origin: 'o',
  snapshot: 's',
  thin_id: 2,
  transaction: 1,
};

export const backupRecord = (fields: Partial<BackupRecord> & { id: string }): BackupRecord => ({
  ...lacking.backups,
  name: null,
  description: null,
  status: 'available',
  fail_reason: '',
  volume_id: 'volume',
  volume_name: 'volume',
  project_id: 'default',
  size_bytes: 2 ** 30,
  parent_id: null,
  is_incremental: false,
  data_timestamp: then,
  created_at: then,
  updated_at: then,
  metadata: {},
  snapshot_id: null,
  container: null,
  availability_zone: null,
  root_digest: null,
  object_count: 0,
  stored_bytes: 0,
  new_bytes: 0,
  zero_bytes: 0,
  read_bytes: 0,
  consistency: 'clean',
  ...fields,
});
