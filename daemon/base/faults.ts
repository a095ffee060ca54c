/** The one table of everything that can go wrong in the world outside our code: its code, the exit status of
 *  `basaltctl` (sysexits), whether the same call may succeed later, and what the operator should do next.
 *  Promises: a code never changes its meaning; every fault that leaves the daemon is one of these rows.
 *  Knows nothing of who shows the fault. A broken promise of our own is not a fault: see `assert.ts`. */

interface FaultRow {
  /** Exit status of the client, from sysexits.h. */
  readonly exit: 64 | 65 | 66 | 69 | 70 | 73 | 74 | 75 | 76 | 77 | 78;
  /** True where the same call may succeed later without anybody changing anything. */
  readonly retry: boolean;
  /** One line: what to do next. */
  readonly hint: string;
}

export const faults = {
  USAGE: { exit: 64, retry: false, hint: 'Run the command with --help to see how it is used' },
  INVALID_ARGUMENT: { exit: 64, retry: false, hint: 'Correct the value and run the command again' },
  AMBIGUOUS_NAME: { exit: 64, retry: false, hint: 'Name it by its id' },
  NO_PARENT: { exit: 64, retry: false, hint: 'Make a full backup first: leave out --incremental' },

  CHUNK_CORRUPT: {
    exit: 65,
    retry: false,
    hint: 'Run: basaltctl backup verify BACKUP, to see every damaged range',
  },
  MANIFEST_CORRUPT: {
    exit: 65,
    retry: false,
    hint: 'Run: basaltctl repository check, to see what else is damaged',
  },
  MANIFEST_MISSING: {
    exit: 65,
    retry: false,
    hint: 'Run: basaltctl catalog rebuild, to drop records whose manifest is gone',
  },
  REPOSITORY_DAMAGED: {
    exit: 65,
    retry: false,
    hint: 'Restore the repository file from a copy of the repository',
  },
  STATE_DAMAGED: {
    exit: 65,
    retry: false,
    hint: 'Move catalog.mdb away, start basaltd again, and run: basaltctl catalog rebuild',
  },
  RECORD_INVALID: {
    exit: 65,
    retry: false,
    hint: 'Export the record again, and hand over all of it: basaltctl backup record export BACKUP',
  },
  FILE_DAMAGED: {
    exit: 65,
    retry: false,
    hint: 'Run: basaltctl backup verify BACKUP. Where that finds nothing, the file system was damaged when it was backed up',
  },
  FOUND_DAMAGE: { exit: 65, retry: false, hint: 'Restore what is whole now, and make a new full backup' },

  BACKUP_UNKNOWN: { exit: 66, retry: false, hint: 'List the backups with: basaltctl backup list' },
  VOLUME_UNKNOWN: { exit: 66, retry: false, hint: 'List the volumes with: basaltctl volume list' },
  SERVICE_UNKNOWN: {
    exit: 66,
    retry: false,
    hint: 'Give the service as the export named it, first: basaltctl backup record import SERVICE URL',
  },
  SNAPSHOT_UNKNOWN: { exit: 66, retry: false, hint: 'List the snapshots with: basaltctl snapshot list' },
  FILE_UNKNOWN: { exit: 66, retry: false, hint: 'List what is there with: basaltctl file list BACKUP /' },
  JOB_UNKNOWN: { exit: 66, retry: false, hint: 'List the jobs with: basaltctl job list' },
  MOUNT_UNKNOWN: { exit: 66, retry: false, hint: 'List the mounts with: basaltctl view list' },
  SOURCE_MISSING: { exit: 66, retry: false, hint: 'Check the path of the source' },
  SOURCE_UNUSABLE: { exit: 66, retry: false, hint: 'A source is a regular file or a block device' },
  OBJECT_MISSING: { exit: 66, retry: false, hint: 'Run: basaltctl repository check' },
  REPOSITORY_MISSING: { exit: 66, retry: false, hint: 'Make one with: basaltctl repository init' },
  REPOSITORY_UNKNOWN: {
    exit: 66,
    retry: false,
    hint: 'List the repositories with: basaltctl repository list',
  },
  FILESYSTEM_UNKNOWN: {
    exit: 66,
    retry: false,
    hint: 'Name a partition with --partition, mount it by the kernel with: basaltctl mount BACKUP DIR --kernel, or read the image',
  },

  DAEMON_UNREACHABLE: {
    exit: 69,
    retry: true,
    hint: 'Start basaltd, or name its socket with --socket or BASALT_SOCKET',
  },
  DAEMON_STOPPING: { exit: 69, retry: true, hint: 'Run the command again when the daemon is back' },

  INTERNAL: {
    exit: 70,
    retry: false,
    hint: 'This is a bug of Basalt: the log of the daemon has the details',
  },

  JOB_CRASHED: {
    exit: 70,
    retry: false,
    hint: 'Look into the log of the daemon for why it ended, and run the job again',
  },

  TARGET_TOO_SMALL: { exit: 73, retry: false, hint: 'Name a target of at least the size of the backup' },
  TARGET_EXISTS: { exit: 73, retry: false, hint: 'Add --force to write over it, or name another target' },
  TARGET_UNUSABLE: {
    exit: 73,
    retry: false,
    hint: 'A target is a path for a new file, a regular file or a block device',
  },
  TARGET_READ_ONLY: { exit: 73, retry: false, hint: 'Make the target writable, or name another one' },
  REPOSITORY_EXISTS: {
    exit: 73,
    retry: false,
    hint: 'The repository is there already: nothing needs to be done',
  },
  REPOSITORY_READ_ONLY: { exit: 73, retry: false, hint: 'Give the daemon write access to the repository' },
  MOUNT_POINT_UNUSABLE: { exit: 73, retry: false, hint: 'Name an empty folder that nothing is mounted on' },
  SNAPSHOT_UNSUPPORTED: {
    exit: 73,
    retry: false,
    hint: 'Make a snapshot with the tools of the storage, and register it: basaltctl snapshot add',
  },
  ALREADY_EXISTS: { exit: 73, retry: false, hint: 'Choose another name' },

  SOURCE_READ_FAILED: {
    exit: 74,
    retry: true,
    hint: 'Look for errors of the device in the kernel log (dmesg)',
  },
  SOURCE_CHANGED: {
    exit: 74,
    retry: true,
    hint: 'Stop whatever resizes the source, and run the backup again',
  },
  TARGET_WRITE_FAILED: {
    exit: 74,
    retry: false,
    hint: 'The target is incomplete now: repair it, and run the restore again',
  },
  TARGET_FULL: { exit: 74, retry: false, hint: 'Free space where the target is, and run the restore again' },
  STORAGE_FAILED: {
    exit: 74,
    retry: true,
    hint: 'Check the storage under the repository, and run the command again',
  },
  MOUNT_FAILED: {
    exit: 74,
    retry: false,
    hint: 'The file system may be damaged: read the image itself under the view folder',
  },
  FILE_UNREADABLE: {
    exit: 74,
    retry: false,
    hint: 'The file is encrypted: restore the volume, and open it where its key is',
  },
  READER_FAILED: {
    exit: 74,
    retry: true,
    hint: 'Look into the log of basaltd; another way to the files is: basaltctl mount BACKUP DIR --kernel',
  },
  WRONG_DEVICE: {
    exit: 65,
    retry: false,
    hint: 'The storage shows another volume than the one that was registered: look at its mappings before anything else',
  },
  TOOL_MISSING: { exit: 78, retry: false, hint: 'Install the program: docs/devices.md names the packages' },
  TOOL_FAILED: { exit: 74, retry: true, hint: 'The log of basaltd has everything that the program said' },
  ATTACH_FAILED: {
    exit: 74,
    retry: true,
    hint: 'Check that the storage exports the volume to this host, and that the network to it works',
  },
  ATTACH_DENIED: { exit: 77, retry: false, hint: 'Check the user name and the secret of the connection' },
  MULTIPATH_MISSING: {
    exit: 78,
    retry: false,
    hint: 'Start multipathd, or set enforce_multipath to false to go on with one path',
  },
  DEVICE_LEFT: {
    exit: 74,
    retry: true,
    hint: 'See what is left with: basaltctl device list --stale',
  },
  DEVICE_BUSY: { exit: 75, retry: true, hint: 'Stop what uses it: basaltctl device list' },
  DEVICE_UNKNOWN: { exit: 66, retry: false, hint: 'List what is attached with: basaltctl device list' },
  SNAPSHOT_LOST: {
    exit: 74,
    retry: true,
    hint: 'Give the snapshot more room, and run the backup again: docs/lvm.md says how',
  },
  DEVICE_FAILED: { exit: 74, retry: true, hint: 'Look for errors of the device in the kernel log (dmesg)' },

  STORAGE_FULL: {
    exit: 75,
    retry: true,
    hint: 'Free space where the repository is: what was there before is safe',
  },
  SOURCE_BUSY: {
    exit: 75,
    retry: true,
    hint: 'Stop what uses it, or add --force: a temporary snapshot where one can be made, else as it is',
  },
  TARGET_BUSY: { exit: 75, retry: true, hint: 'Unmount or detach the target first' },
  VOLUME_BUSY: { exit: 75, retry: true, hint: 'Wait for its job to end: basaltctl job list' },
  SNAPSHOT_BUSY: { exit: 75, retry: true, hint: 'Wait for its job to end: basaltctl job list' },
  MOUNT_BUSY: {
    exit: 75,
    retry: true,
    hint: 'End what uses files there, or detach it all the same: basaltctl unmount DIR --lazy',
  },
  BACKUP_BUSY: {
    exit: 75,
    retry: true,
    hint: 'Wait for its job to end, or unmount it: basaltctl job list, basaltctl view list',
  },
  REPOSITORY_USED: {
    exit: 75,
    retry: false,
    hint: 'Add --force to forget the records of its backups; what the repository holds stays as it is',
  },
  BACKUP_HAS_DEPENDENTS: {
    exit: 75,
    retry: false,
    hint: 'Delete the backups that depend on it first, the newest first: basaltctl backup list --long',
  },
  REPOSITORY_LOCKED: {
    exit: 75,
    retry: true,
    hint: 'Wait until the other host has finished, and run the command again',
  },
  STATE_LOCKED: {
    exit: 75,
    retry: true,
    hint: 'Stop the other basaltd, or give this one its own --state-dir',
  },
  MEMORY_BUDGET: { exit: 75, retry: true, hint: 'Raise memory_limit, or run fewer jobs at a time' },
  CANCELLED: { exit: 75, retry: true, hint: 'It was cancelled: run it again when it is wanted' },
  INTERRUPTED: {
    exit: 75,
    retry: true,
    hint: 'The daemon stopped: see what became of it with basaltctl job list',
  },
  OVER_QUOTA: {
    exit: 75,
    retry: true,
    hint: 'Delete backups, or ask an administrator for more: basaltctl quota set PROJECT --backups N',
  },
  SERVICE_DISABLED: { exit: 75, retry: false, hint: 'Enable it with: basaltctl service set --enable' },
  TOO_MANY: { exit: 75, retry: true, hint: 'Try again when fewer requests are under way' },

  PROTOCOL: { exit: 76, retry: false, hint: 'Use a basaltctl of the same version as basaltd' },
  PROTOCOL_VERSION: { exit: 76, retry: false, hint: 'Use a basaltctl of the same version as basaltd' },
  FRAME_TOO_LARGE: { exit: 76, retry: false, hint: 'Ask for less at a time' },
  METHOD_UNKNOWN: { exit: 76, retry: false, hint: 'Use a basaltctl of the same version as basaltd' },
  FORMAT_TOO_NEW: {
    exit: 76,
    retry: false,
    hint: 'Use a Basalt at least as new as the one that wrote the repository',
  },

  NOT_PERMITTED: { exit: 77, retry: false, hint: 'Run it as root or as a member of the admin group' },

  CONFIG_INVALID: { exit: 78, retry: false, hint: 'Check the settings with: basaltctl config check' },
} as const satisfies Record<string, FaultRow>;

export type FaultCode = keyof typeof faults;

export const isFaultCode = (text: string): text is FaultCode => Object.hasOwn(faults, text);

/** A failure that has a row in the table. `message` is one sentence with the thing that failed in quotes. */
export class Fault extends Error {
  readonly code: FaultCode;
  /** What the hint of the row says, unless the place that threw knows better. */
  readonly hint: string;
  /** Plain values about the failure, for machines (for example damaged ranges). */
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(
    code: FaultCode,
    message: string,
    more: { cause?: unknown; hint?: string; details?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'Fault';
    this.code = code;
    this.hint = more.hint ?? faults[code].hint;
    this.details = more.details;
  }
}

/** Any thrown value as a Fault: what is not in the table is a bug of ours and says so. */
export function toFault(thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new Fault('INTERNAL', `Unexpected failure: ${message}`, { cause: thrown });
}

/** The errno name of a system error (`ENOSPC`, …), or undefined. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}
