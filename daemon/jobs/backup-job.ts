/** Begins a backup of a volume or a snapshot; `backup-run.ts` is what follows.
 *  Promises: what can be refused at once is refused before anything is recorded. */

import type { BackupRecord, JobRecord } from '../catalog/records.ts';
import { openSource } from '../devices/source.ts';
import {
  type BackupOrder,
  type BackupSubject,
  newRecord,
  occupy,
  parentOf,
  requireParentHere,
  subjectOf,
} from './backup-plan.ts';
import { backupOrder } from './backup-run.ts';
import { type KeptHints, keepHints } from './hints.ts';
import { openKeptSnapshot } from './kept-snapshot.ts';
import { volumeLocation } from './locations.ts';
import type { Services } from './services.ts';

export async function createBackup(
  services: Services,
  order: BackupOrder,
): Promise<{ backup: BackupRecord; job: JobRecord }> {
  services.service.requireEnabled();
  const asked = subjectOf(services, order);
  parentOf(services, asked, order);
  await (await services.repositories.get(order.repository)).requireWritable();
  const sizeBytes = await probeSource(services, asked, order.force);
  const hints = await keepHints(services, order, parentOf(services, asked, order), sizeBytes);
  try {
    return await submitBackup(services, order, sizeBytes, hints);
  } catch (thrown) {
    await hints?.drop();
    throw thrown;
  }
}

async function submitBackup(
  services: Services,
  order: BackupOrder,
  sizeBytes: number,
  hints: KeptHints | undefined,
): Promise<{ backup: BackupRecord; job: JobRecord }> {
  const { jobs, busyVolumes: busy } = services;
  // Other requests may have come between: nothing awaits from here until the record is on its way.
  const subject = subjectOf(services, order);
  const { volume, occupies } = subject;
  const backup = newRecord(services, order, subject, parentOf(services, subject, order), sizeBytes);
  hints?.requireParent(backup.parent_id);
  const record = { project_id: order.project, backup_id: backup.id, volume_id: volume.id };
  const plan = {
    kind: 'backup',
    force: order.force,
    skip_errors: order.skipErrors,
    bytes_per_second: order.rate,
    volume_status: volume.status,
  } as const;
  busy.add(occupies);
  try {
    const job = await jobs.submit({
      ...backupOrder(services, record, plan, hints),
      begin: (changes) => {
        services.quotas.require(backup.project_id, sizeBytes);
        // The parent may be on its way out: its deletion comes into the catalog a little after it was asked for.
        requireParentHere(services, backup);
        changes.put('backups', backup);
        occupy(changes, subject, sizeBytes);
      },
    });
    return { backup, job };
  } catch (thrown) {
    busy.delete(occupies);
    throw thrown;
  }
}

/** Opens the source once before anything is recorded, so that what is wrong with it is said at once. */
async function probeSource(
  services: Services,
  { snapshot, volume, source: url }: BackupSubject,
  force: boolean,
): Promise<number> {
  if ((snapshot?.connection ?? null) !== null) return snapshot?.size_bytes ?? 0;
  if (snapshot !== undefined) {
    const kept = await openKeptSnapshot(services, snapshot);
    await kept.close();
    return kept.source.sizeBytes;
  }
  // One that has to be attached first takes its time: the job finds out.
  if (volumeLocation(services.connectors, volume).where === 'attached') return volume.size_bytes;
  const source = await openSource(services, url, { force });
  await source.close();
  return source.sizeBytes;
}
