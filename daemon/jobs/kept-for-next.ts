/** The last snapshot of a volume in use, which stays so that the next backup can be compared with it.
 *
 *    backup durable ─▶ its snapshot recorded ─▶ the one before removed ─▶ … ─▶ pool fills | backup deleted ─▶ removed
 *
 *  Promises: one a volume, once the new one stands; never in a pool that is nearly full, also later on; none of a backup that can be no
 *  parent of hints; it is in the catalog as long as it is there, as any snapshot is. */

import { toFault } from '../base/faults.ts';
import type { BackupRecord, SnapshotRecord, VolumeRecord } from '../catalog/records.ts';
import { snapshotStatus } from '../catalog/statuses.ts';
import type { BackupManifest } from '../format/manifest.ts';
import type { BackupSource } from './backup-source.ts';
import { whyNoParent } from './hints.ts';
import type { JobContext } from './job-order.ts';
import type { Services } from './services.ts';
import { dropSnapshot } from './snapshots.ts';

type Parts = Pick<Services, 'busyVolumes' | 'catalog' | 'keepSnapshots' | 'snapshots'>;

interface Keeping {
  readonly backup: Pick<BackupRecord, 'id' | 'data_timestamp'>;
  readonly volume: Pick<VolumeRecord, 'id' | 'project_id'>;
  readonly opened: Pick<BackupSource, 'temporary' | 'evidence'> & {
    readonly source: Pick<BackupSource['source'], 'sizeBytes'>;
  };
  readonly manifest: Pick<BackupManifest, 'map' | 'evidence'>;
}

/** What fails only makes the next backup read everything. */
export async function keepForNext(
  services: Parts,
  context: Pick<JobContext, 'journalTemporary' | 'log'>,
  { backup, volume, opened, manifest }: Keeping,
): Promise<void> {
  const { temporary } = opened;
  if (temporary === undefined || opened.evidence.made_from === undefined) return;
  // The next backup would read everything all the same.
  if (whyNoParent(manifest) !== undefined) return;
  const { maker, place } = temporary;
  try {
    const burden = await maker.burden?.(place);
    if (burden !== undefined) {
      context.log(`The snapshot does not stay for the next backup: ${burden}`);
      return;
    }
    const record: SnapshotRecord = {
      id: temporary.id,
      name: `kept-for-${backup.id}`,
      project_id: volume.project_id,
      volume_id: volume.id,
      source: maker.urlOf(place),
      connection: null,
      status: snapshotStatus.begin('available'),
      size_bytes: opened.source.sizeBytes,
      created_at: backup.data_timestamp,
      made_by: maker.kind,
      evidence: opened.evidence,
      kept_for_backup: backup.id,
    };
    await context.journalTemporary(null, (changes) => changes.put('snapshots', record));
    await dropOlder(services, context.log);
  } catch (thrown) {
    context.log(`The snapshot may not stay for the next backup: ${toFault(thrown).message}`);
  }
}

const isGone = (backup: BackupRecord | undefined): boolean =>
  backup === undefined || backup.status === 'deleted' || backup.status === 'error';

/** Removes those that a newer one has replaced, whose backup is gone, or whose pool needs the room. */
export async function dropOlder(services: Parts, say: (what: string) => void): Promise<void> {
  const { catalog, busyVolumes: busy, snapshots } = services;
  const kept = [...catalog.all('snapshots')].filter(({ kept_for_backup = null }) => kept_for_backup !== null);
  kept.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  const newest = new Set<string>();
  const notWanted = services.keepSnapshots ? undefined : 'lvm_keep_snapshots is off';
  for (const snapshot of kept) {
    const { id, name, volume_id, source, made_by, status, project_id } = snapshot;
    if (status !== 'available' || busy.has(id) || made_by === 'operator') continue;
    const { maker, place } = snapshots.at(made_by, source);
    const why =
      notWanted ??
      (newest.has(volume_id) ? 'there is a newer one' : undefined) ??
      (isGone(catalog.get('backups', snapshot.kept_for_backup ?? '')) ? 'its backup is gone' : undefined) ??
      (await maker.burden?.(place).catch(() => undefined));
    newest.add(volume_id);
    if (why === undefined) continue;
    const failed = await dropSnapshot(services, id, project_id).then(() => undefined, toFault);
    say(`Snapshot "${name}": ${why}; ${failed === undefined ? 'it is removed' : failed.message}`);
  }
}
