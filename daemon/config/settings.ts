/** The one table of settings: name, shape, default, a sentence, and where else the name is known. The loader, `config
 *  show`, `config check` and `docs/settings.md` are made from these rows.
 *  Promises: a name never changes its meaning. What it does not know: files, flags in use, the machine. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GiB, MiB } from '../base/bytes.ts';
import type { Shape } from './shapes.ts';
import * as shape from './shapes.ts';

export interface SettingRow<T> {
  readonly shape: Shape<T>;
  /** The value where nobody says otherwise; some follow from the state folder. */
  readonly initial: (stateDir: string) => T;
  /** How the default is written in the manual, where it is not the same everywhere. */
  readonly initialText?: string;
  readonly about: string;
  /** True where a command changes the value while the daemon runs; a changed file always needs a restart. */
  readonly live: boolean;
  /** The flag of `basaltd` that sets it. */
  readonly flag?: string;
  /** What Cinder calls it, or the options that say it together, separated by commas. */
  readonly cinder?: string;
}

const setting = <T>(row: SettingRow<T>): SettingRow<T> => row;

export const stateDirDefault = '/var/lib/basalt';
export const settingsFileDefault = '/etc/basalt/basaltd.toml';
export const socketDefault = '/run/basalt/basaltd.sock';
export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
/** The smallest budget in which every part finds its working set. */
export const memoryLimitMin = 64 * MiB;
/** Copies that run at the same time where nobody says otherwise; each gets its share of the memory. */
export const operationsDefault = 15;
export const ioPriorities = ['none', 'idle', 'low', 'normal', 'high'] as const;
export const viewOwners = ['image', 'caller'] as const;
export const blockSizes = [16384, 32768, 65536, 131072, 262144] as const;

export const settings = {
  state_dir: setting({
    shape: shape.path,
    initial: () => stateDirDefault,
    about: 'Folder of everything that is local to this host: catalog, index, lock, journals.',
    live: false,
    flag: 'state-dir',
    cinder: 'state_path',
  }),
  socket: setting({
    shape: shape.path,
    initial: (stateDir) => (stateDir === stateDirDefault ? socketDefault : join(stateDir, 'basaltd.sock')),
    initialText: `\`${socketDefault}\`; with another \`state_dir\`: \`<state_dir>/basaltd.sock\``,
    about: 'Unix socket on which the daemon takes commands.',
    live: false,
    flag: 'socket',
  }),
  repository: setting({
    shape: shape.url,
    initial: (stateDir) => pathToFileURL(join(stateDir, 'repository')).href,
    initialText: '`file://<state_dir>/repository`',
    about: 'Where backups are kept, as a URL; an absolute path is taken as a `file://` URL.',
    live: false,
    flag: 'repository',
    cinder: 'backup_driver, backup_posix_path, backup_share, backup_mount_point_base',
  }),
  view_dir: setting({
    shape: shape.pathOrNone,
    initial: (stateDir) => join(stateDir, 'view'),
    initialText: '`<state_dir>/view`',
    about: 'Folder under which every backup is visible as files; "none" switches the view off.',
    live: false,
    flag: 'view-dir',
  }),
  view_allow_other: setting({
    shape: shape.boolean,
    initial: () => false,
    about:
      'Let users other than root into the view: members of admin_group see all of it, others the backups of the projects that project_grants gives them. They also need a way to the folder: the default view_dir is behind one that only root may enter.',
    live: false,
  }),
  view_owners: setting({
    shape: shape.oneOf(viewOwners),
    initial: () => 'image' as const,
    about:
      'Whose the files in the view are: "image": as the file system inside the backup says; "caller": of whoever looks, who may read all that he sees.',
    live: false,
  }),
  restore_dir: setting({
    shape: shape.path,
    initial: (stateDir) => join(stateDir, 'restored'),
    initialText: '`<state_dir>/restored`',
    about: 'Where a restore that names no target makes its new file volume.',
    live: false,
  }),
  memory_limit: setting({
    shape: shape.size(memoryLimitMin, 1024 * GiB),
    initial: () => 256 * MiB,
    about:
      'Bytes of all buffers together. More makes jobs faster, never necessary; the process itself adds a fixed base.',
    live: false,
    flag: 'memory-limit',
  }),
  max_operations: setting({
    shape: shape.integer(0, 1000),
    initial: () => operationsDefault,
    about:
      'Backups, restores and verifications that may run at the same time, over all projects together; the others wait, and the projects take turns. 0: as many as there is memory for.',
    live: false,
    cinder: 'backup_max_operations',
  }),
  quota_backups: setting({
    shape: shape.integer(-1, 2 ** 31 - 1),
    initial: () => -1,
    about:
      "Backups that a project may have, unless `basaltctl quota set` says otherwise; -1: no limit. Cinder's default is 10: here whoever owns the host owns the backups.",
    live: false,
    cinder: 'quota_backups',
  }),
  quota_backup_gigabytes: setting({
    shape: shape.integer(-1, 2 ** 31 - 1),
    initial: () => -1,
    about:
      "GiB that the backups of a project may have together: each counts the whole size of its volume, rounded up, also an incremental one. -1: no limit; Cinder's default is 1000.",
    live: false,
    cinder: 'quota_backup_gigabytes',
  }),
  offload_recovery: setting({
    shape: shape.boolean,
    initial: () => true,
    about:
      'Take commands while deletions that an earlier daemon left half-done are finished; false: finish them first.',
    live: false,
    cinder: 'backup_service_inithost_offload',
  }),
  checkpoint_interval: setting({
    shape: shape.integer(1, 3600),
    initial: () => 10,
    about:
      'Seconds between two moments from which an interrupted backup or restore can go on; slow ones have fewer.',
    live: false,
  }),
  resume_patience: setting({
    shape: shape.integer(0, 7 * 24 * 3600),
    initial: () => 3600,
    about:
      'Seconds that a job which goes on after a restart waits for a repository that is away, before it fails.',
    live: false,
  }),
  event_command: setting({
    shape: shape.commandOrNone,
    initial: () => null,
    about:
      'Program that is run for each start, progress and end of a backup, restore or deletion, one after the other, with the event as a line of JSON on its standard input.',
    live: false,
  }),
  event_timeout: setting({
    shape: shape.integer(1, 3600),
    initial: () => 30,
    about: 'Seconds that one run of event_command may take; then it is killed with what it began.',
    live: false,
  }),
  enable_progress_timer: setting({
    shape: shape.boolean,
    initial: () => true,
    about: 'Whether backups and restores tell of their progress in events, every progress_interval.',
    live: false,
    cinder:
      'backup_enable_progress_timer, backup_swift_enable_progress_timer, backup_s3_enable_progress_timer, backup_gcs_enable_progress_timer',
  }),
  progress_interval: setting({
    shape: shape.integer(1, 86_400),
    initial: () => 120,
    about: 'Seconds between two events of progress of one job.',
    live: false,
    cinder: 'backup_timer_interval',
  }),
  read_rate: setting({
    shape: shape.size(0, 1024 * GiB),
    initial: () => 0,
    about: 'Bytes a second that all backups and verifications together read; 0: no limit.',
    live: true,
  }),
  write_rate: setting({
    shape: shape.size(0, 1024 * GiB),
    initial: () => 0,
    about: 'Bytes a second that all restores together write; 0: no limit.',
    live: true,
  }),
  io_priority: setting({
    shape: shape.oneOf(ioPriorities),
    initial: () => 'none' as const,
    about:
      'Priority of reads from sources and writes to targets (ionice): "idle" only when nobody else wants the device.',
    live: false,
  }),
  lvm_snapshot_percent: setting({
    shape: shape.integer(1, 100),
    initial: () => 100,
    about:
      'Room of a snapshot of a thick LVM volume, in percent of what it can need at most; it gets more while it is read, as long as its volume group has some. Where the group has less the snapshot is made smaller, down to 5 percent.',
    live: false,
  }),
  lvm_pool_limit: setting({
    shape: shape.integer(1, 100),
    initial: () => 90,
    about:
      'Percent of an LVM thin pool, of its data or its metadata, from which on no snapshot is made in it; a backup of one is given up half-way from there to 100, so that the pool never fills.',
    live: false,
  }),
  lvm_keep_snapshots: setting({
    shape: shape.boolean,
    initial: () => false,
    about:
      'Whether the last snapshot of a thin LVM volume in use stays after its backup, so that the next incremental one reads only what has changed since. One a volume, replaced by the next; removed where its pool is at lvm_pool_limit. What the volume overwrites meanwhile takes room in the pool.',
    live: false,
  }),
  freeze_command: setting({
    shape: shape.commandOrNone,
    initial: () => null,
    about:
      'Program and arguments that hold an application still while a snapshot of its volume is made: ["/usr/local/bin/freeze", "shop"]. It learns the volume as JSON on stdin; no shell takes part. Needs thaw_command.',
    live: false,
  }),
  thaw_command: setting({
    shape: shape.commandOrNone,
    initial: () => null,
    about:
      'Program and arguments that let the application go on; always run where freeze_command was begun, also after a crash.',
    live: false,
  }),
  hook_timeout: setting({
    shape: shape.integer(1, 3600),
    initial: () => 60,
    about: 'Seconds after which freeze_command, and thaw_command, is ended.',
    live: false,
  }),
  use_multipath: setting({
    shape: shape.boolean,
    initial: () => true,
    about:
      "Whether a device that several paths lead to is used over all of them, by dm-multipath or the multipath of NVMe. Cinder's default is false; where only one path is there, or the host has no multipath, it makes no difference.",
    live: false,
    cinder: 'use_multipath_for_image_xfer',
  }),
  enforce_multipath: setting({
    shape: shape.boolean,
    initial: () => false,
    about: 'With use_multipath: fail where there is no multipath, in place of going on with one path.',
    live: false,
    cinder: 'enforce_multipath_for_image_xfer',
  }),
  multipath_paths_min: setting({
    shape: shape.integer(1, 64),
    initial: () => 1,
    about: 'Fewest working paths with which a device counts as attached.',
    live: false,
  }),
  num_volume_device_scan_tries: setting({
    shape: shape.integer(1, 100),
    initial: () => 3,
    about: 'How often a bus is scanned for a device that does not appear, with a longer rest each time.',
    live: false,
    cinder: 'num_volume_device_scan_tries',
  }),
  attach_timeout: setting({
    shape: shape.integer(5, 3600),
    initial: () => 180,
    about: 'Seconds that a device may take to attach, or to detach.',
    live: false,
  }),
  compression_level: setting({
    shape: shape.integer(0, 19),
    initial: () => 1,
    about:
      'zstd level for new blocks; 0 stores them as they are. A block that does not shrink is never compressed.',
    live: false,
    cinder: 'backup_compression_algorithm',
  }),
  block_bytes: setting({
    shape: shape.oneOf(blockSizes),
    initial: () => 65536 as const,
    about:
      'Block size of a repository that `basaltctl repository init` makes; an existing one keeps its own.',
    live: false,
    cinder: 'backup_sha_block_size_bytes',
  }),
  availability_zone: setting({
    shape: shape.word,
    initial: () => 'nova',
    about: 'Availability zone of this host, which a backup has that names none.',
    live: false,
    cinder: 'storage_availability_zone',
  }),
  list_limit: setting({
    shape: shape.integer(1, 1000),
    initial: () => 1000,
    about: 'Backups in one answer; whoever asks for more gets so many, and where the next page begins.',
    live: false,
    cinder: 'osapi_max_limit',
  }),
  repository_check_interval: setting({
    shape: shape.integer(5, 3600),
    initial: () => 60,
    about:
      'Seconds between looks at the repository: what `basaltctl service list` says of it, and how soon one that was away is used again.',
    live: false,
    cinder: 'backup_driver_init_check_interval',
  }),
  cinder_cache_bytes: setting({
    shape: shape.size(64 * MiB, 1024 * GiB),
    initial: () => 4 * GiB,
    about:
      'Bytes on disk, in the state folder, of what is kept to read each Cinder repository faster: lists of objects, and objects decompressed.',
    live: false,
  }),
  admin_group: setting({
    shape: shape.groupName,
    initial: () => 'basalt',
    about: 'Group that owns the socket and whose members administer, as root does.',
    live: false,
  }),
  project_grants: setting({
    shape: shape.grants,
    initial: () => [],
    initialText: '`[]`',
    about:
      'Projects that other users may act for, by uid or gid. They also need access to the socket itself.',
    live: false,
  }),
  log_level: setting({
    shape: shape.oneOf(logLevels),
    initial: () => 'info' as const,
    about: 'Least severe level that is logged.',
    live: false,
    flag: 'log-level',
    cinder: 'debug',
  }),
} as const;

export type SettingName = keyof typeof settings;
type ValueOf<Row> = Row extends SettingRow<infer T> ? T : never;
/** The values in force. */
export type Settings = { readonly [N in SettingName]: ValueOf<(typeof settings)[N]> };

export const settingNames = Object.keys(settings) as readonly SettingName[];
export const isSettingName = (text: string): text is SettingName => Object.hasOwn(settings, text);
