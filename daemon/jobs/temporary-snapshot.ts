/** The snapshot that lives only as long as a backup is made of it.
 *  Promises: it is in the journal of its job before it is made. The job removes at its end what it has journaled; one that only
 *  waits for the next start of the daemon keeps it, so that it goes on with the same bytes. */

import { randomUUID } from 'node:crypto';
import { Fault } from '../base/faults.ts';
import type { BackupRecord, VolumeRecord } from '../catalog/records.ts';
import type { Source } from '../devices/device.ts';
import type { ReadableSnapshot } from '../devices/snapshots/maker.ts';
import type { PlacedSnapshot } from '../devices/snapshots/makers.ts';
import { openSource } from '../devices/source.ts';
import type { Evidence } from '../format/manifest.ts';
import { throwIfCancelled } from '../pipeline/parts.ts';
import { consistencyOf } from './consistency.ts';
import type { JobContext } from './job-order.ts';
import type { Services } from './services.ts';
import { hookSubjectOf, takeSnapshot } from './take-snapshot.ts';

type Parts = Pick<Services, 'catalog' | 'hooks' | 'keepSnapshots' | 'native' | 'snapshots'>;
type Context = Pick<JobContext, 'id' | 'journalTemporary' | 'signal' | 'temporaryPath'>;

export interface TemporarySnapshot {
  readonly temporary: PlacedSnapshot & { readonly id: string };
  readonly source: Source;
  readonly snapshot: ReadableSnapshot;
  readonly evidence: Evidence;
  readonly consistency: string;
}

/** The one that an earlier daemon had made for this job. What is not whole is removed. */
export async function reopenTemporary(
  services: Parts,
  { temporaryPath: path }: Context,
  { temp_snapshot_id, consistency_evidence: evidence, consistency }: BackupRecord,
): Promise<TemporarySnapshot | undefined> {
  const placed = path === null ? undefined : services.snapshots.forPlace(path);
  if (placed === undefined) return undefined;
  if (temp_snapshot_id !== null && evidence !== null) {
    const opened = await openPlaced(services, placed).catch(() => undefined);
    const temporary = { ...placed, id: temp_snapshot_id };
    if (opened !== undefined) return { ...opened, temporary, evidence, consistency };
  }
  await placed.maker.remove(placed.place);
  return undefined;
}

/** A new one; or the clause that says why there can be none, empty where the source is of no kind that has snapshots. */
export async function openTemporary(
  services: Parts,
  context: Context,
  { backup, volume }: { readonly backup: BackupRecord; readonly volume: VolumeRecord },
  original: Source,
): Promise<TemporarySnapshot | string> {
  const id = randomUUID();
  const placed = await services.snapshots.forSource(original, id);
  if (placed === undefined) return '';
  const { maker, place } = placed;
  await context.journalTemporary(place);
  // Of a job that has ended over our heads nothing is journaled any more.
  throwIfCancelled(context.signal);
  try {
    const subject = hookSubjectOf(volume, { backup_id: backup.id, snapshot_id: null });
    const taken = await takeSnapshot(services, context, { ...placed, source: original, subject });
    if (typeof taken === 'string') return taken;
    const used_by = [...original.usedBy];
    const opened = await openPlaced(services, placed);
    const made_from = services.keepSnapshots ? opened.snapshot.comparable?.mark : undefined;
    const evidence: Evidence = {
      read_from: 'temporary-snapshot',
      used_by,
      hooks: [...taken.runs],
      ...(made_from === undefined ? {} : { made_from }),
    };
    const consistency = consistencyOf(evidence, 'a temporary snapshot');
    try {
      await noteSnapshot(services, backup.id, { temp_snapshot_id: id, consistency, evidence });
    } catch (thrown) {
      await opened.source.close();
      throw thrown;
    }
    return { ...opened, temporary: { ...placed, id }, evidence, consistency };
  } catch (thrown) {
    await maker.remove(place);
    throw thrown;
  }
}

async function openPlaced(
  services: Parts,
  { maker, place }: PlacedSnapshot,
): Promise<Pick<TemporarySnapshot, 'source' | 'snapshot'>> {
  const snapshot = await maker.open(place);
  if (typeof snapshot === 'string')
    throw new Fault('SNAPSHOT_LOST', `Cannot read temporary snapshot "${maker.urlOf(place)}": ${snapshot}`);
  return { snapshot, source: await openSource(services, snapshot.url, { force: false }) };
}

interface Note {
  readonly temp_snapshot_id: string;
  readonly consistency: string;
  readonly evidence: Evidence;
}

/** Only from now on can another daemon take up the snapshot: before, it may not be whole. */
async function noteSnapshot(
  { catalog }: Parts,
  backupId: string,
  { evidence: consistency_evidence, ...note }: Note,
): Promise<void> {
  await catalog.commit((changes) => {
    const known = catalog.get('backups', backupId);
    if (known === undefined) throw new Fault('BACKUP_UNKNOWN', `Cannot find backup "${backupId}"`);
    changes.put('backups', { ...known, ...note, consistency_evidence });
  });
}
