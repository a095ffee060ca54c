/** Opens what a backup reads, and makes it hold still where it can: a source in use is read from a temporary snapshot.
 *  Promises: a temporary snapshot is in the journal before it is made, and gone when the job has ended; a job that only waits for
 *  the next start of the daemon keeps it, so that it goes on with the same bytes. Where none can be made the source is read as it
 *  is, and the evidence says so. Hooks run around the making of a snapshot and nowhere else: to hold an application still for as
 *  long as a volume is read would harm it more than a crash-consistent backup. */

import { randomUUID } from 'node:crypto';
import { Fault } from '../base/faults.ts';
import type { BackupRecord, VolumeRecord } from '../catalog/records.ts';
import type { Source } from '../devices/device.ts';
import { formatDeviceUrl } from '../devices/device-url.ts';
import { isSnapshotPath, openSnapshot, removeSnapshot, snapshotPathOf } from '../devices/snapshot.ts';
import { openSource } from '../devices/source.ts';
import type { Evidence } from '../format/manifest.ts';
import { type HookSubject, whileFrozen } from './hooks.ts';
import type { JobContext } from './job-order.ts';
import type { Services } from './services.ts';

export interface BackupSource {
  readonly source: Source;
  readonly evidence: Evidence;
  /** For people: the evidence in a sentence. */
  readonly consistency: string;
}

export interface SourceOrder {
  readonly backup: BackupRecord;
  readonly volume: VolumeRecord;
  /** Read the source although something uses it. */
  readonly force: boolean;
}

type Parts = Pick<Services, 'catalog' | 'hooks' | 'native'>;
type Context = Pick<JobContext, 'id' | 'journalTemporary' | 'signal' | 'temporaryPath'>;

/** `source` of the answer is the caller's to close, and then `dropTemporary` to call. */
export async function openBackupSource(
  services: Parts,
  context: Context,
  order: SourceOrder,
): Promise<BackupSource> {
  const { backup, volume, force } = order;
  if (backup.snapshot_id !== null) return openKept(services, backup.snapshot_id);
  const earlier = await reopenTemporary(services, context, backup);
  if (earlier !== undefined) return earlier;
  const source = await openSource(services, volume.source, { force });
  const used_by = [...source.usedBy];
  if (used_by.length === 0) return opened(source, { read_from: 'source', used_by, hooks: [] }, 'clean');
  const frozen = await openTemporary(services, context, order, source).catch(async (thrown: unknown) => {
    await source.close();
    throw thrown;
  });
  if (frozen !== undefined) {
    await source.close();
    return frozen;
  }
  const consistency = `crash-consistent: read while it was in use: ${used_by.join('; ')}`;
  return opened(source, { read_from: 'source', used_by, hooks: [] }, consistency);
}

/** Removes the temporary snapshot of a job, unless the job goes on at the next start of the daemon. */
export async function dropTemporary({ catalog }: Parts, { id, signal }: Context): Promise<void> {
  const path = catalog.get('jobs', id)?.temporary_path;
  const goesOn = signal.reason instanceof Fault && signal.reason.code === 'INTERRUPTED';
  if (typeof path === 'string' && !goesOn) await removeSnapshot(path);
}

const opened = (source: Source, evidence: Evidence, consistency: string): BackupSource => ({
  source,
  evidence,
  consistency: consistency.slice(0, 1000),
});

/** A snapshot that outlives the backup. It holds still by itself: whoever uses it only reads. */
async function openKept(services: Parts, id: string): Promise<BackupSource> {
  const snapshot = services.catalog.get('snapshots', id);
  if (snapshot === undefined) throw new Fault('SNAPSHOT_UNKNOWN', `Cannot find snapshot "${id}"`);
  const source = await openSource(services, snapshot.source, { force: true });
  const { name, evidence } = snapshot;
  const used_by = evidence?.used_by ?? [];
  const hooks = evidence?.hooks ?? [];
  const consistency =
    evidence === null
      ? `as snapshot "${name}" is, which was registered`
      : consistencyOf(wasHeld(evidence), used_by, `snapshot "${name}"`);
  return opened(source, { read_from: 'snapshot', used_by, hooks }, consistency);
}

/** Whether the application was held still when the snapshot was made. */
const wasHeld = ({ hooks }: Evidence): boolean =>
  hooks.some(({ hook, exit_status }) => hook === 'freeze' && exit_status === 0);

function consistencyOf(held: boolean, usedBy: readonly string[], from: string): string {
  if (held) return `application-consistent: read from ${from}, made while the application was frozen`;
  if (usedBy.length === 0) return 'clean';
  return `crash-consistent: read from ${from}, made while it was in use: ${usedBy.join('; ')}`;
}

/** The temporary snapshot that an earlier daemon had made for this job. What is not whole is removed. */
async function reopenTemporary(
  services: Parts,
  { temporaryPath: path }: Context,
  { temp_snapshot_id, consistency_evidence, consistency }: BackupRecord,
): Promise<BackupSource | undefined> {
  if (path === null || !isSnapshotPath(path)) return undefined;
  if (temp_snapshot_id !== null && consistency_evidence !== null) {
    const url = formatDeviceUrl('file', path);
    const source = await openSource(services, url, { force: false }).catch(() => undefined);
    if (source !== undefined) return opened(source, consistency_evidence, consistency);
  }
  await removeSnapshot(path);
  return undefined;
}

/** A temporary snapshot as a source; undefined where there can be none. */
async function openTemporary(
  services: Parts,
  context: Context,
  { backup, volume }: SourceOrder,
  original: Source,
): Promise<BackupSource | undefined> {
  const id = randomUUID();
  const path = await snapshotPathOf(original.url, id);
  if (path === undefined) return undefined;
  await context.journalTemporary(path);
  try {
    const subject = hookSubjectOf(volume, { backup_id: backup.id, snapshot_id: null });
    const taken = await takeSnapshot(services, context, { subject, fd: original.fd, path });
    if (typeof taken === 'string') return undefined;
    const used_by = [...original.usedBy];
    const consistency = consistencyOf(taken.held, used_by, 'a temporary snapshot');
    const evidence: Evidence = { read_from: 'temporary-snapshot', used_by, hooks: [...taken.runs] };
    const source = await openSource(services, taken.url, { force: false });
    const made = opened(source, evidence, consistency);
    await noteSnapshot(services, backup.id, id, made).catch(async (thrown: unknown) => {
      await source.close();
      throw thrown;
    });
    return made;
  } catch (thrown) {
    await removeSnapshot(path);
    throw thrown;
  }
}

/** Only from now on can another daemon take up the snapshot: before, it may not be whole. */
async function noteSnapshot(
  { catalog }: Parts,
  backupId: string,
  temp_snapshot_id: string,
  { consistency, evidence: consistency_evidence }: BackupSource,
): Promise<void> {
  await catalog.commit((changes) => {
    const known = catalog.get('backups', backupId);
    if (known === undefined) throw new Fault('BACKUP_UNKNOWN', `Cannot find backup "${backupId}"`);
    changes.put('backups', { ...known, temp_snapshot_id, consistency, consistency_evidence });
  });
}

export const hookSubjectOf = (
  { id, name, project_id, source }: VolumeRecord,
  of: Pick<HookSubject, 'backup_id' | 'snapshot_id'>,
): HookSubject => ({ volume_id: id, volume_name: name, project_id, source, ...of });

export interface TakenSnapshot {
  readonly url: string;
  readonly sizeBytes: number;
  readonly held: boolean;
  readonly runs: Evidence['hooks'];
}

/** Makes a snapshot of the file behind `fd`, inside the hooks where there are any; or says why there can be none. */
export async function takeSnapshot(
  services: Parts,
  { signal }: Pick<JobContext, 'signal'>,
  { subject, fd, path }: { readonly subject: HookSubject; readonly fd: number; readonly path: string },
): Promise<TakenSnapshot | string> {
  // The first copy shows that it can be done at all, before anybody is told to freeze.
  const snapshot = await openSnapshot(services, fd, path);
  if (typeof snapshot === 'string') return snapshot;
  try {
    const { freeze: before, thaw: after } = services.hooks;
    const frozen =
      before === null && after === null
        ? { held: false, runs: [] }
        : await whileFrozen(services, subject, signal, () => snapshot.renew());
    await snapshot.sync();
    const { held, runs } = frozen;
    return { url: snapshot.url, sizeBytes: snapshot.sizeBytes, held, runs: [...runs] };
  } catch (thrown) {
    await removeSnapshot(path);
    throw signal.aborted && signal.reason instanceof Fault ? signal.reason : thrown;
  } finally {
    await snapshot.close();
  }
}
