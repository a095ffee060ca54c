/** Jobs on the whole repository: check it, make the catalog anew from it, compare two backups. */

import { Fault, toFault } from '../base/faults.ts';
import { diffExtentsMax } from '../base/limits.ts';
import { keepingLocal, recordOf, volumeOf } from '../catalog/rebuild.ts';
import type { BackupRecord, JobRecord, VolumeRecord } from '../catalog/records.ts';
import { manifestKey } from '../format/layout.ts';
import { throwIfCancelled } from '../pipeline/parts.ts';
import type { DamagedRange, Repository } from '../repository/repository.ts';
import { findBackupToRead, requireReadable } from './find.ts';
import type { JobContext } from './job-order.ts';
import { type Services, timestamp } from './services.ts';

const ofRepository = { project_id: 'default', backup_id: null, volume_id: null };
/** Ranges in the result of a check, all backups together: it must fit one message. */
const reportedRangesMax = 2000;
const reportedBackupsMax = 500;

export async function checkRepository(
  services: Services,
  name: string,
  readData: boolean,
): Promise<JobRecord> {
  services.repositories.known(name);
  return services.jobs.submit({
    ...ofRepository,
    kind: 'check',
    run: async ({ progress, signal }) => {
      const repository = await services.repositories.get(name);
      const report = await repository.check({ readData }, progress, signal).catch(cancelled(signal));
      const damagedManifests = [
        ...report.damagedManifests,
        ...(await missingManifests(services, name, signal)),
      ];
      let rangesLeft = reportedRangesMax;
      const ranges = (all: readonly DamagedRange[]) => {
        const listed = all.slice(0, rangesLeft);
        rangesLeft -= listed.length;
        return listed;
      };
      const result = {
        backups_checked: report.backupsChecked,
        packs_checked: report.packsChecked,
        damaged_backups_count: report.damagedBackups.length,
        damaged_backups: report.damagedBackups.slice(0, reportedBackupsMax).map((backup) => ({
          backup_id: backup.backupId,
          volume_name: backup.volumeName,
          ranges: ranges(backup.ranges),
        })),
        damaged_manifests: damagedManifests.slice(0, reportedBackupsMax),
        damaged_packs: report.damagedPacks.slice(0, reportedBackupsMax),
      };
      const damages = report.damagedBackups.length + damagedManifests.length + report.damagedPacks.length;
      if (damages === 0) return result;
      const message =
        `Checked repository "${repository.url}": ${report.damagedBackups.length} backups, ` +
        `${damagedManifests.length} manifests and ${report.damagedPacks.length} packs are damaged`;
      throw new Fault('FOUND_DAMAGE', message, { details: result });
    },
  });
}

/** Backups that the catalog knows and the repository has lost. */
async function missingManifests(
  { catalog, repositories }: Services,
  name: string,
  signal: AbortSignal,
): Promise<{ key: string; reason: string }[]> {
  const missing: { key: string; reason: string }[] = [];
  const opened = await repositories.get(name);
  for (const { id } of Array.from(catalog.all('backups')).filter(hadDataIn(name))) {
    throwIfCancelled(signal);
    const fault = await opened.manifest(id).then(() => undefined, toFault);
    if (fault?.code !== 'MANIFEST_MISSING') continue;
    // It may have been deleted just now.
    const record = catalog.get('backups', id);
    if (record !== undefined && hadDataIn(name)(record)) {
      missing.push({ key: manifestKey(id), reason: 'it is missing, and the catalog knows the backup' });
    }
  }
  return missing;
}

/** Makes index and catalog anew. Records of backups whose manifest has gone are dropped; volumes that are known stay. */
export async function rebuildCatalog(services: Services, name: string): Promise<JobRecord> {
  for (const { record } of services.jobs.list()) {
    if ((record.status === 'running' || record.status === 'queued') && record.kind !== 'mount') {
      throw new Fault(
        'REPOSITORY_LOCKED',
        `Cannot rebuild the catalog: job "${record.id}" (${record.kind}) is under way`,
      );
    }
  }
  services.repositories.known(name);
  return services.jobs.submit({
    ...ofRepository,
    kind: 'rebuild',
    run: (context) => rebuild(services, name, context),
  });
}

async function rebuild(
  services: Services,
  name: string,
  { progress, signal }: JobContext,
): Promise<Record<string, unknown>> {
  const { catalog } = services;
  const repository = await services.repositories.get(name);
  const damagedPacks = await repository.rebuildIndex(progress, signal).catch(cancelled(signal));
  const found = new Set<string>();
  const unreadable = new Set<string>();
  const damagedManifests: { key: string; reason: string }[] = [];
  const now = timestamp(services.clock);
  let volumesAdded = 0;
  for await (const { key, backupId, manifest, fault } of repository.manifests()) {
    throwIfCancelled(signal);
    progress({ bytesDone: found.size, bytesTotal: 0, phase: 'reading manifests' });
    if (manifest === undefined) {
      unreadable.add(backupId);
      damagedManifests.push({ key, reason: fault?.message ?? 'it can not be read' });
      continue;
    }
    found.add(manifest.backup.id);
    const volume =
      manifest.volume.source !== '' && catalog.get('volumes', manifest.volume.id) === undefined
        ? freshVolume(services, volumeOf(manifest))
        : undefined;
    volumesAdded += volume === undefined ? 0 : 1;
    await catalog.commit((changes) => {
      changes.put(
        'backups',
        keepingLocal(recordOf(manifest, name, now), catalog.get('backups', manifest.backup.id)),
      );
      if (volume !== undefined) changes.put('volumes', volume);
    });
  }
  damagedManifests.push(...(await applyNotes(services, repository, name, found)));
  // A manifest that can't be read today is there all the same: its record stays, and tells of it.
  const isGone = (id: string) => !found.has(id) && !unreadable.has(id);
  const gone = [...catalog.all('backups')].filter((backup) => hadDataIn(name)(backup) && isGone(backup.id));
  await catalog.commit((changes) => {
    for (const { id } of gone) changes.remove('backups', id);
  });
  const result = {
    backups: found.size,
    volumes_added: volumesAdded,
    records_dropped: gone.length,
    damaged_manifests: damagedManifests.slice(0, reportedBackupsMax),
    damaged_packs: damagedPacks.slice(0, reportedBackupsMax),
  };
  if (damagedManifests.length + damagedPacks.length === 0) return result;
  const message = `Rebuilt the catalog: ${damagedManifests.length} manifests and ${damagedPacks.length} packs are damaged`;
  throw new Fault('FOUND_DAMAGE', message, { details: result });
}

/** Names, descriptions and properties that were changed after a backup was made. Gives the notes that can't be read. */
async function applyNotes(
  { catalog }: Services,
  { notes }: Repository,
  repository: string,
  found: ReadonlySet<string>,
): Promise<{ key: string; reason: string }[]> {
  const damaged: { key: string; reason: string }[] = [];
  if (notes === undefined) return damaged;
  for await (const { key, note, reason } of notes.all()) {
    if (note === undefined) damaged.push({ key, reason: reason ?? 'it can not be read' });
    if (note === undefined || !found.has(note.backup_id)) continue;
    await catalog.commit((changes) => {
      const { backup_id, name, description, metadata } = note;
      const known = catalog.get('backups', backup_id);
      if (known?.repository === repository) changes.put('backups', { ...known, name, description, metadata });
    });
  }
  return damaged;
}

const hadDataIn =
  (name: string) =>
  ({ status, repository }: BackupRecord): boolean =>
    repository === name && (status === 'available' || status === 'restoring');

/** A volume under its name, or, where another one has that by now, under its name and the start of its id. */
function freshVolume({ catalog }: Services, volume: VolumeRecord): VolumeRecord {
  for (const { name, project_id } of catalog.all('volumes')) {
    if (name === volume.name && project_id === volume.project_id) {
      return { ...volume, name: `${volume.name} (${volume.id.slice(0, 8)})` };
    }
  }
  return volume;
}

/** An aborted walk throws what the signal says. */
const cancelled =
  (signal: AbortSignal) =>
  (thrown: unknown): never => {
    throw signal.aborted && signal.reason instanceof Fault ? signal.reason : thrown;
  };

export async function diffBackups(
  services: Services,
  a: string,
  b: string,
  project: string,
  signal: AbortSignal,
): Promise<{ extents: { offset: number; length: number }[]; changed_bytes: number; truncated: boolean }> {
  const [first, second] = [
    findBackupToRead(services.catalog, a, project),
    findBackupToRead(services.catalog, b, project),
  ];
  requireReadable(first, 'compare');
  requireReadable(second, 'compare');
  if (first.repository !== second.repository) {
    const message = `Cannot compare "${a}" and "${b}": they are in different repositories`;
    throw new Fault('INVALID_ARGUMENT', message, { hint: 'Copy one of them to the repository of the other' });
  }
  const repository = await services.repositories.of(first);
  const manifests = [await repository.manifest(first.id), await repository.manifest(second.id)] as const;
  const extents: { offset: number; length: number }[] = [];
  let [changedBytes, count] = [0, 0];
  try {
    for await (const range of repository.differences(...manifests, signal)) {
      changedBytes += range.length;
      count += 1;
      if (extents.length < diffExtentsMax) extents.push(range);
    }
  } catch (thrown) {
    if (signal.aborted) throw new Fault('CANCELLED', 'Cancelled the comparison: the client has gone');
    throw thrown;
  }
  return { extents, changed_bytes: changedBytes, truncated: count > extents.length };
}
