/** The values that travel over the control socket, as JSON shows them: snake_case, Cinder's words, exact bytes, ISO times.
 *  Additive only: a field is never renamed or given another meaning. */

export interface VolumeValue {
  id: string;
  name: string;
  project_id: string;
  source: string;
  status: string;
  previous_status: string | null;
  size_bytes: number;
  size: number;
  created_at: string;
  metadata: Record<string, string>;
  encryption_key_id: string | null;
  /** What the device said of itself when it was attached first; null where the source is on this host, or was never attached. */
  identity: { names: string[]; serial: string | null } | null;
  /** What failed or cancelled restores have changed on it, in order; lists leave it out. */
  written_ranges: RangeValue[];
  /** Sum of their lengths. */
  written_bytes: number;
}

/** A device that is attached, or that something is left of. */
export interface DeviceValue {
  id: string;
  /** Without secrets. */
  url: string;
  kind: string;
  /** "attaching", "attached", "detaching"; "error": something is left of it; "stale": of a daemon that has ended, or without a record
   *  (its id begins with "stray-" then). */
  status: string;
  access: string;
  device: string | null;
  number: string | null;
  /** The multipath map, where there is one. */
  map: string | null;
  size_bytes: number | null;
  block_bytes: number | null;
  names: string[];
  serial: string | null;
  /** Also those that could not be brought up: "missing". */
  paths: { device: string | null; number: string | null; via: string; state: string }[];
  paths_expected: number;
  /** Of these, the ones that failed or are missing. */
  paths_lost: number;
  users: { kind: string; id: string }[];
  /** What it waits for at the moment. */
  waiting_for: string | null;
  created_at: string;
  updated_at: string;
  fault: FaultValue | null;
}

export interface BackupValue {
  id: string;
  /** Name of the repository that holds it. */
  repository: string;
  name: string | null;
  description: string | null;
  status: string;
  fail_reason: string;
  volume_id: string;
  volume_name: string;
  project_id: string;
  /** The uid of who asked for it. */
  user_id: string;
  host: string | null;
  service: string;
  service_metadata: string | null;
  /** Whole GiB, rounded up, as Cinder counts. */
  size: number;
  size_bytes: number;
  is_incremental: boolean;
  has_dependent_backups: boolean;
  num_dependent_backups: number;
  parent_id: string | null;
  data_timestamp: string;
  created_at: string;
  updated_at: string;
  snapshot_id: string | null;
  temp_volume_id: string | null;
  temp_snapshot_id: string | null;
  restore_volume_id: string | null;
  encryption_key_id: string | null;
  container: string | null;
  availability_zone: string | null;
  metadata: Record<string, string>;
  root_digest: string | null;
  object_count: number;
  read_bytes: number;
  zero_bytes: number;
  new_bytes: number;
  stored_bytes: number;
  consistency: string;
  consistency_evidence: EvidenceValue | null;
}

/** What is known of how the source stood when it was read. */
export interface EvidenceValue {
  read_from: string;
  used_by: string[];
  hooks: { hook: string; exit_status: number | null; timed_out: boolean; milliseconds: number }[];
  /** Why a source in use was read without a snapshot. */
  no_snapshot?: string | undefined;
  /** The snapshot that was read, where a later one can be compared with it; ids are those of LVM. */
  made_from?:
    | (Record<'kind' | 'group' | 'pool' | 'origin' | 'snapshot', string> &
        Record<'thin_id' | 'transaction', number>)
    | undefined;
  /** What came of hints on what changed since the parent, and how much was not read for them; absent: there were none. */
  hints?: { use: string; kept_bytes: number; compared_blocks: number } | undefined;
  /** What could not be read, and is zeros in the backup; `exact` is false where the ranges hold bytes that were read, too. */
  unreadable?: { ranges: { offset: number; length: number }[]; bytes: number; exact: boolean } | undefined;
}

export interface SnapshotValue {
  id: string;
  name: string;
  volume_id: string;
  project_id: string;
  source: string;
  status: string;
  size_bytes: number;
  size: number;
  /** The time of which its data is. */
  created_at: string;
  /** "reflink", "lvm": made by Basalt in this way, and removed by it; "operator": registered. */
  made_by: string;
  /** Id of the backup that was made of it, where it stays only so that the next one can be compared with it; else null. */
  kept_for_backup: string | null;
  consistency_evidence: EvidenceValue | null;
}

export interface FaultValue {
  code: string;
  message: string;
  hint: string;
  details?: Record<string, unknown>;
}

export interface JobValue {
  id: string;
  kind: string;
  status: string;
  project_id: string;
  backup_id: string | null;
  volume_id: string | null;
  created_at: string;
  finished_at: string | null;
  phase: string;
  bytes_done: number;
  bytes_total: number;
  bytes_per_second: number;
  /** Seconds left, or null where nobody knows. */
  seconds_left: number | null;
  waiting_for: string | null;
  /** Rate of this job alone; 0: no limit. */
  limit_bytes_per_second: number;
  fault: FaultValue | null;
  result: Record<string, unknown> | null;
  /** What happened to it, the oldest first. Lists leave it out. */
  history: JobEventValue[];
}

export interface JobEventValue {
  at: string;
  event: string;
  detail: string;
}

/** What happens to a backup: of each job a start, progress now and then, and an end. */
export interface EventValue {
  id: string;
  time: string;
  /** create, restore or delete, and start, progress or end: "create.start". */
  event: string;
  job_id: string;
  project_id: string;
  host: string;
  backup_id: string;
  backup_name: string | null;
  /** Of the backup, after what happened. */
  status: string;
  fail_reason: string;
  volume_id: string;
  volume_name: string;
  restore_volume_id: string | null;
  parent_id: string | null;
  snapshot_id: string | null;
  container: string | null;
  availability_zone: string | null;
  created_at: string;
  size: number;
  size_bytes: number;
  percent: number;
  bytes_done: number;
  bytes_total: number;
  bytes_per_second: number;
  /** Of an end: why it did not end well. */
  error: FaultValue | null;
}

/** Rates of all jobs together, in bytes a second; 0: no limit. */
export interface LimitValue {
  read_bytes_per_second: number;
  write_bytes_per_second: number;
}

/** What a project may have at most; -1: no limit. */
export interface QuotaValue {
  project_id: string;
  backups: number;
  backup_gigabytes: number;
}

export interface QuotaLine {
  /** Backups in status creating are reserved, all others in use, also those in status error. */
  in_use: number;
  reserved: number;
  limit: number;
}

export interface QuotaUsageValue {
  project_id: string;
  backups: QuotaLine;
  /** Whole GiB of the volumes, each backup rounded up. */
  backup_gigabytes: QuotaLine;
  /** Sum of the sizes of the volumes. */
  logical_bytes: number;
  /** Of them what no backup before had, and what that takes in the repository. */
  new_bytes: number;
  stored_bytes: number;
}

/** A file inside a backup. */
export interface FileValue {
  /** Bytes that are no UTF-8 are shown as U+FFFD; `name_hex` has them. */
  name: string;
  name_hex: string | null;
  /** file, folder, link, fifo, socket, character, block, unknown. */
  kind: string;
  /** Number within the file system: the same for names of the same file. */
  node: number;
  /** Permissions as octal text, with the set-id and sticky bits. */
  mode: string;
  links: number;
  uid: number;
  gid: number;
  size_bytes: number;
  used_bytes: number;
  /** ISO 8601 with nanoseconds; null where the image holds a time that none can be. */
  modified_at: string | null;
  changed_at: string | null;
  accessed_at: string | null;
  /** "major:minor" of a device. */
  device: string | null;
}

export interface FileSystemValue {
  kind: string;
  label: string;
  uuid: string;
  block_bytes: number;
  total_bytes: number;
  /** What to know of what is shown: a journal that was not replayed, for example. */
  notes: string[];
}

/** What of a file stands in no list. */
export interface FileMoreValue {
  /** Where a symbolic link leads. Bytes that are no UTF-8 are shown as U+FFFD; `target_hex` has them. */
  target: string | null;
  target_hex: string | null;
  /** Extended attributes, values in base64. */
  attributes: { name: string; value: string }[];
}

export interface FileDetailsValue extends FileValue, FileMoreValue {
  path: string;
  file_system: FileSystemValue;
}

export interface GatheredFileValue extends FileValue {
  /** Null: file.show tells it, or why it can't. */
  details: FileMoreValue | null;
  /** All of a small file; null: file.read gives it. */
  content: Uint8Array | null;
}

export interface MountValue {
  id: string;
  backup_id: string;
  directory: string;
  kind: 'files' | 'kernel';
  /** Waiting: it could not be made again after a start of the daemon, which goes on trying. Gone: somebody has unmounted it past the
   *  daemon; it comes back with the next start, unless it is unmounted here, too. */
  status: 'mounted' | 'waiting' | 'gone';
  /** Why it waits. */
  wait_reason: string | null;
  /** It goes with the daemon. */
  temporary: boolean;
  partition: number | null;
  file_system: string | null;
  loop_device: string | null;
  created_at: string;
}

/** What every backup looks like in the view; `mounts` are the folders made by `basaltctl mount`. */
export interface ViewValue {
  view_dir: string | null;
  mounts: MountValue[];
}

export interface RepositoryValue {
  name: string;
  url: string;
  kind: string;
  /** ready, missing, locked, read-only, or the code of the fault that keeps it from being used. */
  status: string;
  id: string | null;
  block_bytes: number | null;
  created_at: string | null;
  read_only: boolean;
  /** How backups are written in Cinder's format; null in other repositories, and where only Cinder writes. */
  compression: string | null;
  object_bytes: number | null;
  hash_block_bytes: number | null;
}

export interface RepositoryStatisticsValue extends RepositoryValue {
  backups: number;
  packs: number;
  blocks: number;
  stored_bytes: number;
  /** Sum of the sizes of all backups: what they would take without Basalt. */
  volume_bytes: number;
  index_bytes: number;
  free_bytes: number | null;
}

export interface RangeValue {
  offset: number;
  length: number;
}

export interface StatusValue {
  version: string;
  pid: number;
  uptime_seconds: number;
  socket: string;
  state_dir: string;
  view_dir: string | null;
  /** The one of the settings; `repositories` has all. */
  repository: RepositoryValue;
  repositories: RepositoryValue[];
  memory: {
    limit_bytes: number;
    reserved_bytes: number;
    peak_bytes: number;
    rss_bytes: number;
    leases: { owner: string; bytes: number; since: string }[];
    waiting: { owner: string; bytes: number; since: string }[];
  };
  jobs: { running: number; queued: number };
  limits: LimitValue;
  /** How late the event loop was since the last call, in milliseconds. */
  event_loop_delay_ms: { p50: number; p99: number; max: number };
  volumes: number;
  backups: number;
  /** The kinds of devices that are attached, and what each lacks on this host; empty: nothing that shows. */
  devices: { kind: string; missing: string[] }[];
}

/** The backup service of a host with one of its repositories, as `openstack volume service list` has it. */
export interface ServiceValue {
  binary: string;
  host: string;
  zone: string;
  /** enabled or disabled: whether new backups are taken. */
  status: string;
  /** up or down: whether the repository answers. */
  state: string;
  /** When it last did; null: not since the daemon started. */
  updated_at: string | null;
  /** Name of the repository that the row is about. */
  repository: string;
  repository_url: string;
  /** A sentence that says why the repository can't be used or written; empty where it can. */
  reason: string;
  disabled_reason: string;
}

export interface SettingValue {
  name: string;
  value: string | number | boolean | null;
  origin: string;
  about: string;
}
