/** The records of the catalog. Field names are Cinder's words where Cinder has the thing; times are ISO 8601 UTC text.
 *  Plain values: what `-f json` shows is made from them in `control/present.ts`. */

import type { FaultCode } from '../base/faults.ts';
import type { Json } from '../base/json.ts';
import type { Evidence, RepositoryKind } from '../format/manifest.ts';
import { nativeService } from '../format/record-service.ts';
import type { WriterState } from '../format/writer-state.ts';
import type { AttachmentStatus, BackupStatus, JobStatus, SnapshotStatus, VolumeStatus } from './statuses.ts';

/** Name of the repository of the settings; records from before there were others are of it. */
export const defaultRepository = 'default';

export interface VolumeRecord {
  readonly id: string;
  readonly name: string;
  readonly project_id: string;
  /** URL of the source. */
  readonly source: string;
  readonly status: VolumeStatus;
  /** What it was before the job under way; after it, what the job did: "backing-up" or "error_backing-up". */
  readonly previous_status: string | null;
  readonly size_bytes: number;
  readonly created_at: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** What failed or cancelled restores have changed on it; absent or null where nothing is left of them. */
  readonly written_ranges?: WrittenRanges | null;
  /** Set where what is on the source is encrypted by this key. */
  readonly encryption_key_id: string | null;
  /** null: the source is on this host. */
  readonly connection: StoredConnection | null;
  /** What the device said of itself when it was attached first: every later one must be it. null: nobody has asked yet. */
  readonly identity: StoredIdentity | null;
}

/** How a device is attached, in the words of its connector. It may hold secrets: it never leaves the catalog. */
export interface StoredConnection {
  readonly kind: string;
  readonly connection: { readonly [key: string]: Json };
  /** True where the storage lets this host only read. */
  readonly read_only: boolean;
}

/** What a device has said of itself. */
export interface StoredIdentity {
  readonly names: readonly string[];
  readonly serial: string | null;
  /** Of what has neither: then it is the only thing that it is known by. */
  readonly size_bytes?: number;
}

export type SnapshotMadeBy = 'reflink' | 'lvm' | 'operator';

/** A frozen copy of a volume that a backup can be made of. Known on this host only. */
export interface SnapshotRecord {
  readonly id: string;
  readonly name: string;
  readonly project_id: string;
  readonly volume_id: string;
  readonly source: string;
  readonly status: SnapshotStatus;
  readonly size_bytes: number;
  /** The time of which its data is. */
  readonly created_at: string;
  /** Made by Basalt, and removed by it; or made by somebody else, and only known. */
  readonly made_by: SnapshotMadeBy;
  readonly evidence: Evidence | null;
  /** How it is attached; absent or null: it is on this host. */
  readonly connection?: StoredConnection | null;
  /** The backup that was made of it, where it stays only for the next one; absent or null: it is the operator's. */
  readonly kept_for_backup?: string | null;
}

/** A repository beside the one of the settings. Its id is its name. */
export interface RepositoryRecord {
  readonly id: string;
  readonly url: string;
  readonly kind: RepositoryKind;
  readonly read_only: boolean;
  readonly created_at: string;
}

export interface BackupRecord {
  readonly id: string;
  /** Name of the repository that holds it. */
  readonly repository: string;
  readonly name: string | null;
  readonly description: string | null;
  readonly status: BackupStatus;
  readonly fail_reason: string;
  readonly volume_id: string;
  readonly volume_name: string;
  readonly project_id: string;
  /** The uid of who asked for it; empty where nobody knows any more. */
  readonly user_id: string;
  /** Name of the machine that made it. */
  readonly host: string | null;
  /** The kind of repository, and what finds the backup there. */
  readonly service: string;
  readonly service_metadata: string | null;
  readonly size_bytes: number;
  readonly parent_id: string | null;
  readonly is_incremental: boolean;
  readonly data_timestamp: string;
  readonly created_at: string;
  readonly updated_at: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly snapshot_id: string | null;
  /** A snapshot that lives only as long as the backup is made. */
  readonly temp_snapshot_id: string | null;
  /** The volume that it was restored to last. */
  readonly restore_volume_id: string | null;
  readonly encryption_key_id: string | null;
  readonly container: string | null;
  readonly availability_zone: string | null;
  /** Hex digest of the root of the map; null until available. */
  readonly root_digest: string | null;
  readonly object_count: number;
  /** Bytes added to the repository for this backup. */
  readonly stored_bytes: number;
  readonly new_bytes: number;
  readonly zero_bytes: number;
  readonly read_bytes: number;
  /** "clean", "crash-consistent" or "application-consistent", with what is known of it. */
  readonly consistency: string;
  readonly consistency_evidence: Evidence | null;
}

/** What records lack that were written before these fields were there. */
export const lacking = {
  volumes: {
    previous_status: null,
    metadata: {},
    encryption_key_id: null,
    connection: null,
    identity: null,
  },
  backups: {
    repository: defaultRepository,
    user_id: '',
    host: null,
    service: nativeService,
    service_metadata: null,
    temp_snapshot_id: null,
    restore_volume_id: null,
    encryption_key_id: null,
    consistency_evidence: null,
  },
  mounts: { kind: 'kernel', wanted: false, owner_uid: null },
} as const satisfies {
  volumes: Partial<VolumeRecord>;
  backups: Partial<BackupRecord>;
  mounts: Partial<MountRecord>;
};

export type JobKind =
  | 'backup'
  | 'restore'
  | 'verify'
  | 'delete'
  | 'check'
  | 'rebuild'
  | 'scan'
  | 'mount'
  | 'unmount'
  | 'copy'
  | 'audit'
  | 'attach'
  | 'detach'
  | 'rescan';

/** Something that happened to a job; `at` is when. */
export interface JobEvent {
  readonly at: string;
  readonly event:
    | 'queued'
    | 'started'
    | 'interrupted'
    | 'requeued'
    | 'resumed'
    | 'done'
    | 'failed'
    | 'cancelled';
  /** What there is to know besides; empty where nothing. */
  readonly detail: string;
}

/** All that is needed to run a job again after the daemon ended; the records say the rest. */
export type JobPlan =
  | {
      readonly kind: 'backup';
      /** Read the source although something uses it. */
      readonly force: boolean;
      /** Take what can't be read as zeros; absent in records of earlier versions. */
      readonly skip_errors?: boolean;
      readonly bytes_per_second: number;
      /** What the volume is again afterwards. */
      readonly volume_status: VolumeStatus;
    }
  | {
      readonly kind: 'restore';
      /** Where to, as a URL. */
      readonly target: string;
      /** How the target is attached; absent or null: it is on this host. */
      readonly connection?: StoredConnection | null;
      /** Registers the target as a volume of this name. */
      readonly register_as: string | null;
      /** The id that it gets then. */
      readonly register_id: string | null;
      readonly force: boolean;
      readonly differential: boolean;
      readonly bytes_per_second: number;
    }
  | {
      readonly kind: 'delete';
      /** What the backup is again where nothing could be removed. */
      readonly backup_status: BackupStatus;
    };

export interface JobRecord {
  readonly id: string;
  readonly kind: JobKind;
  readonly status: JobStatus;
  readonly project_id: string;
  readonly backup_id: string | null;
  readonly volume_id: string | null;
  readonly created_at: string;
  readonly finished_at: string | null;
  readonly fault: { readonly code: FaultCode; readonly message: string; readonly hint: string } | null;
  /** What the job came to; keys depend on the kind. */
  readonly result: Readonly<Record<string, unknown>> | null;
  /** How far it got; 0 until it has ended. */
  readonly bytes_done: number;
  readonly bytes_total: number;
  /** What a restart must undo or go on with: a file being made, or the place of a temporary snapshot. */
  readonly temporary_path: string | null;
  /** What happened to it, the oldest first; bounded. */
  readonly history: readonly JobEvent[];
  /** null: the job does not go on after the daemon ended. */
  readonly plan: JobPlan | null;
  /** How often the daemon ended without being asked to while the job was at that place. */
  readonly crashes: { readonly position: number; readonly count: number };
}

/** Where a backup can be taken up again: all before `position` is durable in the repository. */
export interface BackupCheckpoint {
  readonly kind: 'backup';
  readonly position: number;
  readonly repository_id: string;
  /** The map as far as it is built. */
  readonly state: WriterState;
  /** What shows that the source holds what was read; null where nothing does. */
  readonly evidence: string | null;
}

/** Where a restore can be taken up again: all before `position` is durable on the target. */
export interface RestoreCheckpoint {
  readonly kind: 'restore';
  readonly position: number;
  /** What the target was; another one is not gone on with. */
  readonly target: string;
  readonly counts: {
    readonly written_bytes: number;
    readonly zeroed_bytes: number;
    readonly unchanged_bytes: number;
  };
  readonly written: WrittenRanges;
  /** False where more may have been written behind `position`. */
  readonly last: boolean;
}

export type Checkpoint = BackupCheckpoint | RestoreCheckpoint;
/** `id`: of the job. */
export type CheckpointRecord = Checkpoint & { readonly id: string };

/** What a restore has changed on its target, in order. `exact`: false where ranges were joined to keep the list short. */
export interface WrittenRanges {
  readonly ranges: readonly { readonly offset: number; readonly length: number }[];
  readonly total_bytes: number;
  readonly exact: boolean;
}

/** Something mounted for `basaltctl mount`, written before the first command and removed after the last. */
export interface MountRecord {
  readonly id: string;
  readonly backup_id: string;
  readonly project_id: string;
  readonly directory: string;
  /** "files": the folder of the view with the files of the backup; "kernel": mounted by the kernel, by way of a loop device. */
  readonly kind: 'files' | 'kernel';
  /** Made again by each start of the daemon, until somebody unmounts it. */
  readonly wanted: boolean;
  /** Whose the folder must be; null: anybody's. */
  readonly owner_uid: number | null;
  readonly partition: number | null;
  readonly image_path: string;
  readonly loop_device: string | null;
  readonly file_system: string | null;
  readonly created_at: string;
}

/** Who needs an attached device: a job, or the operator, who asked for it by name. */
export interface AttachmentUser {
  readonly kind: 'job' | 'operator';
  /** Of the job; empty for the operator. */
  readonly id: string;
}

/** A device that is attached, or was about to be: written before the first command, removed when it was seen to be gone. */
export interface AttachmentRecord {
  readonly id: string;
  readonly status: AttachmentStatus;
  readonly connection: StoredConnection;
  /** Equal for the same device. */
  readonly key: string;
  /** Without secrets. */
  readonly url: string;
  readonly access: 'read' | 'write';
  /** What the connector has made, or was about to; null: nothing yet. */
  readonly built: { readonly [key: string]: Json } | null;
  readonly users: readonly AttachmentUser[];
  /** As it was at the last look; null until it is attached. */
  readonly seen: AttachmentView | null;
  readonly created_at: string;
  readonly updated_at: string;
  /** Why it is in status error or stale. */
  readonly fault: {
    readonly code: FaultCode;
    readonly message: string;
    readonly hint: string;
    /** What is still there. */
    readonly left: readonly string[];
  } | null;
}

export interface AttachmentView {
  readonly device: string;
  readonly number: string | null;
  readonly map: string | null;
  readonly names: readonly string[];
  readonly serial: string | null;
  readonly size_bytes: number;
  readonly block_bytes: number;
  readonly paths: readonly {
    readonly device: string | null;
    readonly number: string | null;
    readonly via: string;
    readonly state: string;
  }[];
}

/** Single facts of this host: `host` has the id by which repositories know it. */
export interface FactRecord {
  readonly id: string;
  readonly value: string;
}

/** What a project may have at most, where an administrator has said so; null: the default of the settings. -1: no limit. */
export interface QuotaRecord {
  /** The project. */
  readonly id: string;
  readonly backups: number | null;
  readonly backup_gigabytes: number | null;
}
