/** Titles of the columns of every list, in openstackclient's words. A key of the protocol without a title does not
 *  compile, so that every key can be asked for with `-c`. */

import type {
  BackupValue,
  DeviceValue,
  EventValue,
  FileValue,
  JobValue,
  MountValue,
  RangeValue,
  RepositoryValue,
  ServiceValue,
  SettingValue,
  SnapshotValue,
  VolumeValue,
} from '../../daemon/protocol/values.ts';

export const fileTitles = {
  kind: 'Kind',
  mode: 'Mode',
  uid: 'UID',
  gid: 'GID',
  size_bytes: 'Size',
  modified_at: 'Modified At',
  name: 'Name',
  name_hex: 'Name (hex)',
  node: 'Inode',
  links: 'Links',
  used_bytes: 'Used',
  changed_at: 'Changed At',
  accessed_at: 'Accessed At',
  device: 'Device',
} as const satisfies Record<keyof FileValue, string>;

export const foundTitles = {
  path: 'Path',
  backup: 'Backup',
  backup_id: 'Backup ID',
  kind: 'Kind',
  size_bytes: 'Size',
  modified_at: 'Modified At',
} as const;

export const historyTitles = {
  backup: 'Backup',
  backup_id: 'Backup ID',
  data_timestamp: 'Data Timestamp',
  state: 'State',
  kind: 'Kind',
  size_bytes: 'Size',
  modified_at: 'Modified At',
} as const;

export const differenceTitles = {
  state: 'State',
  path: 'Path',
  size_before: 'Size Before',
  size_after: 'Size After',
} as const;

export const volumeTitles = {
  id: 'ID',
  name: 'Name',
  status: 'Status',
  size_bytes: 'Size',
  source: 'Source',
  created_at: 'Created At',
  project_id: 'Project ID',
  size: 'Size (whole GiB)',
  metadata: 'Properties',
  previous_status: 'Previous Status',
  encryption_key_id: 'Encryption Key ID',
  identity: 'Identity',
  written_bytes: 'Written By Restores',
  written_ranges: 'Written Ranges',
} as const satisfies Record<keyof VolumeValue, string>;

export const deviceTitles = {
  id: 'ID',
  url: 'URL',
  status: 'Status',
  device: 'Device',
  size_bytes: 'Size',
  paths: 'Paths',
  paths_expected: 'Paths Expected',
  paths_lost: 'Paths Lost',
  users: 'Used By',
  kind: 'Kind',
  access: 'Access',
  number: 'Number',
  map: 'Map',
  names: 'Names',
  serial: 'Serial',
  block_bytes: 'Block',
  waiting_for: 'Waiting For',
  created_at: 'Created At',
  updated_at: 'Updated At',
  fault: 'Fault',
} as const satisfies Record<keyof DeviceValue, string>;

export const snapshotTitles = {
  id: 'ID',
  name: 'Name',
  volume_id: 'Volume ID',
  status: 'Status',
  size_bytes: 'Size',
  created_at: 'Created At',
  made_by: 'Made By',
  kept_for_backup: 'Kept For Backup',
  source: 'Source',
  project_id: 'Project ID',
  size: 'Size (whole GiB)',
  consistency_evidence: 'Evidence',
} as const satisfies Record<keyof SnapshotValue, string>;

export const backupTitles = {
  id: 'ID',
  name: 'Name',
  description: 'Description',
  status: 'Status',
  size_bytes: 'Size',
  is_incremental: 'Incremental',
  created_at: 'Created At',
  availability_zone: 'Availability Zone',
  volume_name: 'Volume',
  container: 'Container',
  parent_id: 'Parent',
  repository: 'Repository',
  stored_bytes: 'Stored',
  project_id: 'Project ID',
  size: 'Size (whole GiB)',
  volume_id: 'Volume ID',
  snapshot_id: 'Snapshot ID',
  fail_reason: 'Fail Reason',
  has_dependent_backups: 'Has Dependents',
  num_dependent_backups: 'Dependents',
  data_timestamp: 'Data Timestamp',
  updated_at: 'Updated At',
  metadata: 'Properties',
  root_digest: 'Root Digest',
  object_count: 'Objects',
  read_bytes: 'Read',
  zero_bytes: 'Zero',
  new_bytes: 'New',
  consistency: 'Consistency',
  consistency_evidence: 'Evidence',
  user_id: 'User ID',
  host: 'Host',
  service: 'Service',
  service_metadata: 'Service Metadata',
  temp_volume_id: 'Temporary Volume ID',
  temp_snapshot_id: 'Temporary Snapshot ID',
  restore_volume_id: 'Restore Volume ID',
  encryption_key_id: 'Encryption Key ID',
} as const satisfies Record<keyof BackupValue, string>;

export const jobTitles = {
  id: 'ID',
  kind: 'Kind',
  status: 'Status',
  phase: 'Phase',
  bytes_done: 'Done',
  bytes_total: 'Total',
  created_at: 'Created At',
  finished_at: 'Finished At',
  backup_id: 'Backup ID',
  volume_id: 'Volume ID',
  project_id: 'Project ID',
  bytes_per_second: 'Rate',
  seconds_left: 'Left',
  waiting_for: 'Waiting For',
  limit_bytes_per_second: 'Rate Limit',
  fault: 'Fault',
  result: 'Result',
  history: 'History',
} as const satisfies Record<keyof JobValue, string>;

export const mountTitles = {
  directory: 'Directory',
  backup_id: 'Backup ID',
  kind: 'Kind',
  status: 'Status',
  wait_reason: 'Wait Reason',
  temporary: 'Temporary',
  partition: 'Partition',
  file_system: 'File System',
  loop_device: 'Loop Device',
  created_at: 'Created At',
  id: 'ID',
} as const satisfies Record<keyof MountValue, string>;

export const eventTitles = {
  time: 'Time',
  event: 'Event',
  volume_name: 'Volume',
  backup_id: 'Backup ID',
  backup_name: 'Backup',
  status: 'Status',
  percent: 'Percent',
  fail_reason: 'Fail Reason',
  error: 'Error',
  bytes_done: 'Done',
  bytes_total: 'Total',
  bytes_per_second: 'Rate',
  job_id: 'Job ID',
  project_id: 'Project ID',
  host: 'Host',
  volume_id: 'Volume ID',
  restore_volume_id: 'Restore Volume ID',
  parent_id: 'Parent',
  snapshot_id: 'Snapshot ID',
  container: 'Container',
  availability_zone: 'Availability Zone',
  created_at: 'Created At',
  size: 'Size (whole GiB)',
  size_bytes: 'Size',
  id: 'ID',
} as const satisfies Record<keyof EventValue, string>;

export const settingTitles = {
  name: 'Name',
  value: 'Value',
  origin: 'Origin',
  about: 'About',
} as const satisfies Record<keyof SettingValue, string>;

export const repositoryTitles = {
  name: 'Name',
  kind: 'Kind',
  status: 'Status',
  url: 'URL',
  read_only: 'Read Only',
  created_at: 'Created At',
  id: 'ID',
  block_bytes: 'Block Size',
  compression: 'Compression',
  object_bytes: 'Object Size',
  hash_block_bytes: 'Hash Block Size',
} as const satisfies Record<keyof RepositoryValue, string>;
export const serviceTitles = {
  binary: 'Binary',
  host: 'Host',
  zone: 'Zone',
  status: 'Status',
  state: 'State',
  updated_at: 'Updated At',
  repository: 'Repository',
  reason: 'Reason',
  repository_url: 'Repository URL',
  disabled_reason: 'Disabled Reason',
} as const satisfies Record<keyof ServiceValue, string>;

/** What a scan lists. */
export const scanTitles = {
  backup_id: 'ID',
  is_complete: 'Complete',
  name: 'Name',
  volume_id: 'Volume ID',
  size_bytes: 'Size',
  created_at: 'Created At',
  parent_id: 'Parent',
  chain: 'Chain',
  compression: 'Compression',
  objects: 'Objects',
  stored_bytes: 'Stored',
  container: 'Container',
  prefix: 'Prefix',
  missing: 'Missing',
} as const;

export const rangeTitles = {
  offset: 'Offset',
  length: 'Length',
} as const satisfies Record<keyof RangeValue, string>;

export const auditTitles = {
  backup_id: 'Backup',
  what: 'What',
  offset: 'Offset',
  length: 'Length',
  reason: 'Reason',
  name: 'File',
} as const;
