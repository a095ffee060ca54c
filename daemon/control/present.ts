/** Records and reports as the values that travel over the socket. Pure. */

import { GiB } from '../base/bytes.ts';
import type { BackupRecord, MountRecord, SnapshotRecord, VolumeRecord } from '../catalog/records.ts';
import type { JobReport } from '../jobs/report.ts';
import type { Services } from '../jobs/services.ts';
import type { BackupValue, JobValue, MountValue, SnapshotValue, VolumeValue } from '../protocol/values.ts';

const sizeInGiB = (bytes: number): number => Math.ceil(bytes / GiB);

/** Its connection may hold secrets, and stays behind. */
export function presentVolume(volume: VolumeRecord): VolumeValue {
  const { written_ranges: written, connection: _, identity, ...record } = volume;
  return {
    ...record,
    identity: identity === null ? null : { names: [...identity.names], serial: identity.serial },
    metadata: { ...record.metadata },
    size: sizeInGiB(record.size_bytes),
    written_ranges: (written?.ranges ?? []).map((range) => ({ ...range })),
    written_bytes: written?.total_bytes ?? 0,
  };
}

/** For lists: the ranges may be many, and `volume show` has them. */
export const presentListedVolume = (record: VolumeRecord): VolumeValue => ({
  ...presentVolume(record),
  written_ranges: [],
});

export function presentSnapshot(record: SnapshotRecord): SnapshotValue {
  const { evidence, connection: _, kept_for_backup = null, ...rest } = record;
  return { ...rest, kept_for_backup, size: sizeInGiB(record.size_bytes), consistency_evidence: evidence };
}

export const presentBackup = (record: BackupRecord, dependents: number): BackupValue => ({
  ...record,
  metadata: { ...record.metadata },
  size: sizeInGiB(record.size_bytes),
  has_dependent_backups: dependents > 0,
  num_dependent_backups: dependents,
  // A temporary volume is never made: what Basalt can make is a snapshot.
  temp_volume_id: null,
});

export function presentJob(report: JobReport): JobValue {
  const {
    id,
    kind,
    status,
    project_id,
    backup_id,
    volume_id,
    created_at,
    finished_at,
    fault,
    result,
    history,
  } = report.record;
  return {
    id,
    kind,
    status,
    project_id,
    backup_id,
    volume_id,
    created_at,
    finished_at,
    phase: report.phase,
    bytes_done: report.bytesDone,
    bytes_total: report.bytesTotal,
    bytes_per_second: report.bytesPerSecond,
    seconds_left: report.secondsLeft,
    waiting_for: report.waitingFor,
    limit_bytes_per_second: report.limitBytesPerSecond,
    fault,
    result,
    history: history.map((event) => ({ ...event })),
  };
}

/** For lists: a result may be long, and `job show` has it. */
export const presentListedJob = (report: JobReport): JobValue => ({
  ...presentJob(report),
  result: null,
  history: [],
});

export const presentMount = (
  { waitingMounts }: Pick<Services, 'waitingMounts'>,
  record: MountRecord,
  isThere: boolean,
): MountValue => {
  const { id, backup_id, directory, kind, partition, file_system, loop_device, created_at } = record;
  const wait_reason = waitingMounts.get(id) ?? null;
  const status = wait_reason !== null ? 'waiting' : isThere ? 'mounted' : 'gone';
  const is = { kind, status, wait_reason, temporary: !record.wanted } as const;
  return { id, backup_id, directory, ...is, partition, file_system, loop_device, created_at };
};
