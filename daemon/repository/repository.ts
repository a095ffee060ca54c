/** One store of backups, whatever its kind. Write order W1 and W2 (chunks, then manifest) is enforced behind this
 *  interface and nowhere else. Promises: what `finish` acknowledged is durable; every byte that `read` gives was
 *  verified in that call; memory does not grow with the volume. Knows nothing of catalogs, jobs or devices. */

import type { BackupManifest, RepositoryKind } from '../format/manifest.ts';
import type { BackupNote } from '../format/note.ts';
import type { WriterState } from '../format/writer-state.ts';

/** Bytes of a backup that can't be given back, and why. */
export interface DamagedRange {
  readonly offset: number;
  readonly length: number;
  readonly reason: string;
}

export interface ImageExtent {
  readonly offset: number;
  readonly length: number;
  /** False: the range is all zeros. It may be as long as the volume. A data extent is at most `segmentBytes` long. */
  readonly data: boolean;
  /** Set where the map itself is damaged, so that nothing of the range can be read. */
  readonly damage?: string;
}

/** A backup as a readable image. Any number of reads at a time. */
export interface BackupImage {
  readonly backupId: string;
  readonly sizeBytes: number;
  readonly blockBytes: number;
  /** The whole image in order, from offset 0 to its size, without gaps. */
  extents(): AsyncIterable<ImageExtent>;
  /** Fills `output` with the bytes at `offset` (a multiple of `blockBytes`; `output` at most `segmentBytes` long and a
   *  multiple of `blockBytes`; behind the end of the image there are zeros). `scratch`: as long as `output`.
   *  Damaged ranges are zeros in `output` and listed; an empty list means that all bytes are verified. */
  read(offset: number, output: Uint8Array, scratch: Uint8Array): Promise<DamagedRange[]>;
}

export interface WriteCounts {
  readonly readBytes: number;
  readonly zeroBytes: number;
  readonly knownBytes: number;
  readonly newBytes: number;
  readonly storedBytes: number;
}

/** Descriptors of a source: `directFd` goes past the page cache, -1 where there is none. */
export interface SealSource {
  readonly fd: number;
  readonly directFd: number;
  /** Asked where a read fails, before anything of the segment was stored: fills `input` in another way, or throws. */
  readonly recover?: Recover;
}

export type Recover = (
  failure: unknown,
  position: number,
  length: number,
  input: Uint8Array,
) => Promise<void>;

/** A part of a range that was to be kept. */
export interface KeptPiece {
  readonly offset: number;
  readonly length: number;
  /** False: the parent's blocks can't be used, so that the piece must be sealed before the next one is asked for. */
  readonly kept: boolean;
  /** 32 bytes a block that was kept; absent where all of them are zeros. */
  readonly addresses?: Uint8Array;
}

/** One backup in the making. */
export interface BackupWriter {
  /** Seals `length` bytes of `source` at `position`, a multiple of the block size, within one segment of `segmentBytes`. Calls begin
   *  in ascending order, several may be under way; what no call covers is zeros. `input`, `output`: lent memory of `segmentBytes` each. */
  seal(
    source: SealSource,
    position: number,
    length: number,
    input: Uint8Array,
    output: Uint8Array,
  ): Promise<void>;
  /** Takes over what `parent` holds of a range, without reading the source: whole blocks, up to the end of the volume at most.
   *  Gives the range in order and without gaps. Only blocks that are known to be stored are kept. In order with `seal`.
   *  Absent where backups of this kind can't share what they hold. */
  keep?(parent: BackupManifest, position: number, length: number): AsyncIterable<KeptPiece>;
  counts(): WriteCounts;
  /** W1: everything sealed is durable; W2: the manifest is. Resolves with the manifest as written. */
  /** `commit`: called just before W2; what it throws is thrown on, and nothing is committed. */
  finish(fields: ManifestFields, commit?: () => void): Promise<BackupManifest>;
  /** While nothing is under way: makes all that was sealed durable (W1), and gives what `resumeWriter` takes. Absent where backups
   *  of this kind can't be gone on with. */
  checkpoint?(): Promise<WriterState>;
  /** Leaves nothing but unreferenced chunks. */
  abort(): Promise<void>;
}

/** Thrown by `seal` or `finish`: what was read can't be kept as an incremental backup. The writer is of no use any more; the same
 *  volume can be backed up in full. */
export class FullBackupNeeded extends Error {
  readonly offset: number;

  constructor(offset: number) {
    super(`the backup must be a full one: from byte ${offset} on it can't be kept as an incremental one`);
    this.name = 'FullBackupNeeded';
    this.offset = offset;
  }
}

/** What the maker of a backup knows and the repository does not. */
export type ManifestFields = Pick<BackupManifest, 'backup' | 'volume' | 'consistency' | 'evidence'>;

export interface RepositoryStatistics {
  readonly backups: number;
  readonly packs: number;
  readonly blocks: number;
  readonly storedBytes: number;
  readonly indexBytes: number;
  readonly freeBytes: number | undefined;
}

/** What `check` found. Counts are whole; lists are cut at `damageRangesMax`. */
export interface CheckReport {
  readonly backupsChecked: number;
  readonly packsChecked: number;
  readonly damagedBackups: readonly {
    backupId: string;
    volumeName: string;
    ranges: readonly DamagedRange[];
  }[];
  readonly damagedManifests: readonly { key: string; reason: string }[];
  readonly damagedPacks: readonly { key: string; reason: string }[];
}

/** A finding of an audit. Damage keeps something from being restored right; a note is worth to be known. */
export interface AuditFinding {
  readonly backupId: string;
  readonly severity: 'damage' | 'note';
  /** The file that it is about. */
  readonly name: string;
  readonly reason: string;
  /** Bytes of the volume, where it is about some. */
  readonly offset?: number;
  readonly length?: number;
}

/** A backup that a Cinder of 2023.1 or newer does not restore as it was. */
export interface WrongRestore {
  readonly backupId: string;
  /** Bytes that keep older data on a new volume; as many as a report may list. */
  readonly ranges: readonly { readonly offset: number; readonly length: number }[];
  readonly bytes: number;
  /** True where the ranges name more than is wrong. */
  readonly rough: boolean;
}

/** What `audit` found. Counts are whole; lists are cut. */
export interface AuditReport {
  readonly backupsChecked: number;
  readonly objectsChecked: number;
  readonly bytesChecked: number;
  readonly damages: number;
  readonly findings: readonly AuditFinding[];
  readonly wrongRestores: readonly WrongRestore[];
  readonly wrongRestoresCount: number;
  /** Backups after whose restore a file is too short, because it ends in zeros. */
  readonly shortFiles: readonly {
    readonly backupId: string;
    readonly sizeBytes: number;
    readonly fileBytes: number;
  }[];
}

export interface Progress {
  (done: { readonly bytesDone: number; readonly bytesTotal: number; readonly phase: string }): void;
}

/** What people changed about backups after they were made. */
export interface Notes {
  /** Durable when it resolves; in the place of an earlier one. */
  put(note: BackupNote): Promise<void>;
  /** One that can't be read comes with the reason. */
  all(): AsyncIterable<{ readonly key: string; readonly note?: BackupNote; readonly reason?: string }>;
}

/** A manifest, or why it can't be read. */
export interface FoundManifest {
  readonly key: string;
  readonly backupId: string;
  readonly manifest?: BackupManifest;
  readonly fault?: Error;
}

/** A backup that was found without any database. */
export interface ScannedBackup {
  readonly backupId: string;
  readonly volumeId: string;
  readonly container: string;
  /** What the names of its objects begin with. */
  readonly prefix: string;
  /** Absent where something is missing that a restore needs. */
  readonly manifest: BackupManifest | undefined;
  /** What is missing or wrong, as sentences; a backup without its hash list is complete all the same. */
  readonly missing: readonly string[];
  readonly objects: number;
  readonly storedBytes: number;
}

/** What may be said of a new repository; the rest is its kind's default. */
export interface InitOptions {
  /** Only in our own format. */
  readonly blockBytes?: number | undefined;
  /** Only in Cinder's. */
  readonly compression?: string | undefined;
  readonly objectBytes?: number | undefined;
  readonly hashBlockBytes?: number | undefined;
}

/** How backups are written in Cinder's format. */
export interface CinderWrites {
  readonly compression: string;
  readonly objectBytes: number;
  readonly hashBlockBytes: number;
}

/** Where a repository is, or will be. */
export interface RepositoryLocation {
  open(): Promise<Repository>;
  init(options: InitOptions): Promise<void>;
}

export interface Repository {
  readonly url: string;
  readonly id: string;
  readonly kind: RepositoryKind;
  readonly blockBytes: number;
  readonly createdAt: string;
  /** Undefined where this kind has no place for them: then only the catalog knows. */
  readonly notes?: Notes;
  /** REPOSITORY_MISSING, STORAGE_FAILED where it is not at hand now. */
  requireHere(): Promise<void>;
  /** REPOSITORY_READ_ONLY, REPOSITORY_LOCKED, REPOSITORY_MISSING where nothing can be written now. */
  requireWritable(): Promise<void>;
  /** Begins a backup. A Cinder repository needs the fields, which `finish` gets again with what was learnt meanwhile.
   *  NO_PARENT where the parent that they name can't be one. */
  openWriter(volumeBytes: number, fields?: ManifestFields): Promise<BackupWriter>;
  /** Goes on with a backup from its checkpoint; undefined where what it had stored is not all there any more. */
  resumeWriter?(state: WriterState, signal: AbortSignal): Promise<BackupWriter | undefined>;
  /** `fresh`: nothing that was read before counts; for verification. `random`: it is read here and there, not in order. */
  openImage(manifest: BackupManifest, options?: { fresh?: boolean; random?: boolean }): BackupImage;
  /** MANIFEST_MISSING, MANIFEST_CORRUPT. */
  manifest(backupId: string): Promise<BackupManifest>;
  /** Every manifest there is; one that can't be read comes as its fault. */
  manifests(): AsyncIterable<FoundManifest>;
  /** The backup does not exist any more when it resolves; its chunks stay until a sweep. */
  removeManifest(backupId: string): Promise<void>;
  /** Changed extents between two images, found by walking where the digests differ; O(difference).
   *  An aborted signal ends it before the next page, also between two ranges, with the reason of the signal. */
  differences(
    a: BackupManifest,
    b: BackupManifest,
    signal: AbortSignal,
  ): AsyncIterable<{ offset: number; length: number }>;
  /** Only in a Cinder repository that is written to. */
  readonly writes?: CinderWrites | undefined;
  /** From now on it is written to, where it was somebody else's; REPOSITORY_EXISTS where it is already. */
  takeOver?(options: InitOptions): Promise<void>;
  /** Every backup there is, complete or not; only where backups come from somebody else. */
  scan?(progress: Progress, signal: AbortSignal): AsyncIterable<ScannedBackup>;
  /** Makes the index anew from the packs; gives the packs that could not be read. */
  rebuildIndex(progress: Progress, signal: AbortSignal): Promise<{ key: string; reason: string }[]>;
  /** Without `readData`: manifests, maps, and the presence and length of all that they name. With: every byte too. */
  check(options: { readData: boolean }, progress: Progress, signal: AbortSignal): Promise<CheckReport>;
  /** Reads all that there is and holds it to what Cinder demands; only in a Cinder repository. */
  audit?(progress: Progress, signal: AbortSignal): Promise<AuditReport>;
  statistics(): Promise<RepositoryStatistics>;
  close(): Promise<void>;
}
