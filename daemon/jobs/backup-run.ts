/** The running part of a backup, made from what the catalog holds: at its begin, and again after the daemon ended.
 *  Promises: W3 (catalog, flushed) comes after W2 (manifest) and before the job is reported as done (W4); a failed or cancelled
 *  backup is in status error with its reason, and its volume is what it was before. */

import { Fault } from '../base/faults.ts';
import { failReasonLengthMax } from '../base/limits.ts';
import { recordOf } from '../catalog/rebuild.ts';
import {
  type BackupRecord,
  defaultRepository,
  type JobPlan,
  type JobRecord,
  type VolumeRecord,
} from '../catalog/records.ts';
import { backupStatus } from '../catalog/statuses.ts';
import type { BackupManifest } from '../format/manifest.ts';
import { backUp } from '../pipeline/backup.ts';
import type { ManifestFields, Repository } from '../repository/repository.ts';
import { attachFor, endHold } from './attached-device.ts';
import type { Hold } from './attachments/attachments.ts';
import { backupCheckpoints } from './backup-checkpoints.ts';
import { giveBack, occupiedBy } from './backup-plan.ts';
import { type BackupSource, openBackupSource, type SourceOrder, whileWatched } from './backup-source.ts';
import { HintsTold, hintResult, type KeptHints } from './hints.ts';
import type { JobContext, JobOrder } from './job-order.ts';
import { keepForNext } from './kept-for-next.ts';
import { storedLocation } from './locations.ts';
import { whileSame } from './same-device.ts';
import { repositoryFor, type Services, timestamp, withMemory } from './services.ts';
import { type SnapshotHints, type SnapshotHintsOrder, snapshotHints } from './snapshot-hints.ts';

export type BackupPlan = Extract<JobPlan, { kind: 'backup' }>;

/** `hints`: of the caller; a backup that goes on after a restart has none, as more may have changed by then.
 *  `record`: the backup, its volume and their project, which the catalog knows by the time the job runs. */
export function backupOrder(
  services: Services,
  record: Pick<JobRecord, 'project_id' | 'backup_id' | 'volume_id'>,
  plan: BackupPlan,
  hints?: KeptHints,
): JobOrder {
  const { catalog } = services;
  const { project_id, backup_id, volume_id } = record;
  let manifest: BackupManifest | undefined;
  return {
    kind: 'backup',
    project_id,
    backup_id,
    volume_id,
    bytes_per_second: plan.bytes_per_second,
    plan,
    leavable: true,
    run: async (context) => {
      const backup = catalog.get('backups', backup_id ?? '');
      const volume = catalog.get('volumes', volume_id ?? '');
      if (backup === undefined || volume === undefined)
        throw new Fault('VOLUME_UNKNOWN', `Cannot go on with backup "${backup_id}": its record has gone`);
      const onDurable = (written: BackupManifest) => {
        manifest = written;
      };
      try {
        const made = await runBackup(services, context, backup, { volume, plan, onDurable, hints });
        return { backup_id, ...made.statistics, consistency: made.consistency, ...hintResult(made) };
      } finally {
        await hints?.drop();
      }
    },
    end: (changes, fault) => {
      const now = timestamp(services.clock);
      const fail_reason = fault?.message.slice(0, failReasonLengthMax) ?? '';
      const backup = catalog.get('backups', backup_id ?? '');
      let ended: BackupRecord | undefined;
      if (manifest !== undefined)
        ended = withChanges(recordOf(manifest, backup?.repository ?? defaultRepository, now), backup);
      else if (backup !== undefined)
        ended = backupStatus.move(backup, 'error', { fail_reason, temp_snapshot_id: null, updated_at: now });
      if (ended === undefined) return;
      changes.put('backups', ended);
      services.busyVolumes.delete(occupiedBy(ended));
      giveBack(services, changes, ended, plan.volume_status);
    },
  };
}

/** What was changed by hand while the backup was made. */
function withChanges(record: BackupRecord, known: BackupRecord | undefined): BackupRecord {
  if (known === undefined) return record;
  const { name, description, metadata } = known;
  return { ...record, name, description, metadata };
}

interface BackupRun {
  readonly volume: VolumeRecord;
  readonly plan: BackupPlan;
  /** Told at once when the backup exists: whatever fails afterwards does not undo that. */
  readonly onDurable: (manifest: BackupManifest) => void;
  readonly hints: KeptHints | undefined;
}

async function runBackup(
  services: Services,
  context: JobContext,
  backup: BackupRecord,
  { volume, plan, onDurable, hints: kept }: BackupRun,
): Promise<BackupManifest> {
  const { progress } = context;
  const repository = await repositoryFor(services, context, backup.repository, 'write');
  // The daemon may have ended just after the commit point.
  const made = context.resumed ? await writtenManifest(repository, backup.id) : undefined;
  if (made !== undefined) {
    context.note('resumed', 'its manifest had been written: the backup is complete');
    onDurable(made);
    return made;
  }
  const order = { backup, volume, force: plan.force };
  return withMemory(services, context, 'backup', (grant) =>
    withSource(services, context, order, async (opened, hold) => {
      const { source } = opened;
      const { native } = services;
      const { commit } = context;
      const told = new HintsTold();
      const parts = {
        source,
        repository,
        native,
        grant,
        skipErrors: plan.skip_errors === true,
        progress,
        rates: [context.rate, services.rates.read],
        copies: () => services.operations.running,
        fields: () => fieldsOf(backup, volume, opened, told),
        checkpoints: await backupCheckpoints(services, context, repository, source),
        commit,
      };
      const given = await kept?.open(repository, told);
      const asked = await hintsOf(services, context, { backup, opened, repository, told, given: kept });
      try {
        const hints = given ?? asked.hints;
        const manifest = await whileSame(hold, context.signal, (same) =>
          whileWatched(opened.snapshot, same, (signal) => backUp({ ...parts, signal, hints })),
        );
        onDurable(manifest);
        await keepForNext(services, context, { backup, volume, opened, manifest });
        return manifest;
      } finally {
        await asked.drop();
      }
    }),
  );
}

/** Those of the caller come first; what was read before the daemon ended is not read again. */
function hintsOf(
  services: Services,
  context: JobContext,
  order: Omit<SnapshotHintsOrder, 'snapshot'> & {
    readonly opened: BackupSource;
    readonly given: KeptHints | undefined;
  },
): Promise<SnapshotHints> {
  const isOther = order.given !== undefined || context.checkpoint !== undefined;
  const snapshot = isOther ? undefined : order.opened.snapshot;
  return snapshotHints(services, context, { ...order, snapshot });
}

/** Attaches what has to be, opens it, and gives all of it back however `use` ends. */
async function withSource<T>(
  services: Services,
  context: JobContext,
  order: Omit<SourceOrder, 'hold'>,
  use: (opened: BackupSource, hold: Hold | undefined) => Promise<T>,
): Promise<T> {
  const { backup, volume } = order;
  const hold = await holdOf(services, context, backup, volume);
  try {
    const opened = await openBackupSource(services, context, { ...order, hold });
    try {
      if (hold !== undefined) await reserveSize(services, backup.id, opened.source.sizeBytes);
      return await use(opened, hold);
    } finally {
      await opened.close();
    }
  } finally {
    await endHold(hold, context);
  }
}

/** A device may have grown since it was attached last, or may never have been: only now is it known what the backup counts. */
async function reserveSize({ catalog, quotas }: Services, id: string, size_bytes: number): Promise<void> {
  await catalog.commit((changes) => {
    const backup = catalog.get('backups', id);
    if (backup === undefined || backup.size_bytes === size_bytes) return;
    quotas.requireGrowth(backup.project_id, backup.size_bytes, size_bytes);
    changes.put('backups', { ...backup, size_bytes });
  });
}

/** The device under the volume, where it has to be attached. */
async function holdOf(
  services: Services,
  context: JobContext,
  backup: BackupRecord,
  volume: VolumeRecord,
): Promise<Hold | undefined> {
  const { snapshot_id: id } = backup;
  const snapshot = id === null ? undefined : services.catalog.get('snapshots', id);
  if (id !== null && (snapshot?.connection ?? null) === null) return undefined;
  const { source, connection = null } = snapshot ?? volume;
  const location = storedLocation(services.connectors, { source, connection });
  if (location.where === 'here') return undefined;
  return attachFor(services, context, {
    location,
    access: 'read',
    volume: snapshot === undefined ? volume : undefined,
  });
}

/** The manifest, where there is one already. */
const writtenManifest = (repository: Repository, id: string): Promise<BackupManifest | undefined> =>
  repository.manifest(id).catch((thrown: unknown) => {
    if (thrown instanceof Fault && thrown.code === 'MANIFEST_MISSING') return undefined;
    throw thrown;
  });

function fieldsOf(
  backup: BackupRecord,
  volume: VolumeRecord,
  { source, consistency, evidence }: BackupSource,
  told: HintsTold,
): ManifestFields {
  const { id, name, description, project_id, parent_id, snapshot_id, container, availability_zone } = backup;
  const { metadata, created_at, data_timestamp, user_id, host, encryption_key_id } = backup;
  return {
    backup: {
      id,
      name,
      description,
      project_id,
      parent_id,
      snapshot_id,
      container,
      availability_zone,
      metadata,
      created_at,
      data_timestamp,
      user_id,
      ...(host === null ? {} : { host }),
      ...(encryption_key_id === null ? {} : { encryption_key_id }),
    },
    volume: {
      id: volume.id,
      name: volume.name,
      source: volume.source,
      size_bytes: source.sizeBytes,
      ...(volume.project_id === project_id ? {} : { project_id: volume.project_id }),
      metadata: { ...volume.metadata },
    },
    consistency,
    evidence: { ...evidence, ...told.evidence },
  };
}
