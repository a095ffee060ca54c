/** Snapshots of volumes: made here where the source can, or made by somebody else and registered.
 *  Promises: a snapshot that is made is in the catalog before it is made, so that a crash leaves nothing that nobody knows; only
 *  what Basalt made is ever removed; a snapshot that is being backed up stays. */

import { randomUUID } from 'node:crypto';
import { Fault, toFault } from '../base/faults.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { SnapshotRecord, VolumeRecord } from '../catalog/records.ts';
import { jobStatus, snapshotStatus } from '../catalog/statuses.ts';
import { describeDevice } from '../devices/describe.ts';
import type { Source } from '../devices/device.ts';
import type { PlacedSnapshot } from '../devices/snapshots/makers.ts';
import { openSource } from '../devices/source.ts';
import { attachFor, isHere } from './attached-device.ts';
import { requireIdleSnapshot } from './backup-plan.ts';
import { findSnapshot, findVolume } from './find.ts';
import { givenLocation, requireKey, storedOf, volumeLocation } from './locations.ts';
import { type Services, timestamp } from './services.ts';
import { hookSubjectOf, takeSnapshot } from './take-snapshot.ts';

export interface SnapshotOrder {
  readonly volume: string;
  readonly name: string | undefined;
  readonly project: string;
}

export interface RegisterOrder extends SnapshotOrder {
  readonly name: string;
  readonly source: string | undefined;
  /** In place of a URL. */
  readonly connection_info?: unknown;
  /** When it was taken; absent: now. */
  readonly created_at: string | undefined;
}

/** Makes a snapshot known that somebody else has made. */
export async function addSnapshot(services: Services, order: RegisterOrder): Promise<SnapshotRecord> {
  const volume = findVolume(services.catalog, order.volume, order.project);
  const { connectors, attachments } = services;
  const location = givenLocation(connectors, order);
  requireKey(location, volume.encryption_key_id, `add a snapshot of volume "${volume.name}"`);
  const own = volumeLocation(connectors, volume);
  const isAttached = location.where === 'attached';
  const same =
    isAttached && own.where === 'attached' && attachments.keyOf(location) === attachments.keyOf(own);
  // What has to be attached takes its time: its backup finds out how large it is.
  const { url, sizeBytes } = isAttached
    ? { url: location.url, sizeBytes: volume.size_bytes }
    : await describeDevice(location.url);
  if (same || url === volume.source) {
    throw new Fault('INVALID_ARGUMENT', `Cannot add "${url}" as a snapshot: it is the volume itself`);
  }
  const now = timestamp(services.clock);
  const created_at = order.created_at === undefined ? now : new Date(order.created_at).toISOString();
  if (created_at > now) {
    throw new Fault('INVALID_ARGUMENT', `Cannot add a snapshot of "${created_at}": that is still to come`);
  }
  return register(services, {
    ...emptyRecord(volume, order.name),
    source: url,
    connection: isAttached ? storedOf(location) : null,
    status: snapshotStatus.begin('available'),
    size_bytes: sizeBytes,
    created_at,
  });
}

/** Makes a snapshot. SNAPSHOT_UNSUPPORTED where the source can't. */
export async function createSnapshot(
  services: Services,
  order: SnapshotOrder,
  signal: AbortSignal,
): Promise<SnapshotRecord> {
  const volume = findVolume(services.catalog, order.volume, order.project);
  if (volume.status === 'restoring-backup') {
    throw new Fault(
      'VOLUME_BUSY',
      `Cannot make a snapshot of volume "${volume.name}": it is being restored to`,
    );
  }
  const empty = emptyRecord(volume, order.name);
  const hold = await holdOf(services, volume, empty.id, signal);
  try {
    if (hold !== undefined && !isHere(hold))
      throw unsupported(volume, 'its bytes are served by another host');
    const source = await openSource(services, hold?.found.device ?? volume.source, { force: true });
    try {
      return await createFrom(services, empty, volume, source, signal);
    } finally {
      await source.close();
    }
  } finally {
    await hold?.release();
  }
}

/** The device under the volume, where it has to be attached. */
async function holdOf(services: Services, volume: VolumeRecord, id: string, signal: AbortSignal) {
  const location = volumeLocation(services.connectors, volume);
  if (location.where === 'here') return undefined;
  const context = { id, signal, doing: () => undefined };
  return attachFor(services, context, { location, access: 'read', volume });
}

async function createFrom(
  services: Services,
  empty: SnapshotRecord,
  volume: VolumeRecord,
  source: Source,
  signal: AbortSignal,
): Promise<SnapshotRecord> {
  const placed = await services.snapshots.forSource(source, empty.id);
  if (placed === undefined) throw unsupported(volume, 'its source is a device of a kind that has none');
  const { maker, place } = placed;
  services.busyVolumes.add(empty.id);
  try {
    const creating = await register(services, {
      ...empty,
      source: maker.urlOf(place),
      size_bytes: source.sizeBytes,
      created_at: timestamp(services.clock),
      made_by: maker.kind,
    });
    return await createBehind(services, creating, { volume, source, signal, placed });
  } finally {
    services.busyVolumes.delete(empty.id);
  }
}

interface Creation {
  readonly volume: VolumeRecord;
  readonly source: Source;
  readonly signal: AbortSignal;
  readonly placed: PlacedSnapshot;
}

/** What the record says to be there. */
async function createBehind(
  services: Services,
  creating: SnapshotRecord,
  { volume, source, signal, placed }: Creation,
): Promise<SnapshotRecord> {
  try {
    const subject = hookSubjectOf(volume, { backup_id: null, snapshot_id: creating.id });
    const taken = await takeSnapshot(services, { signal }, { ...placed, source, subject });
    if (typeof taken === 'string') throw unsupported(volume, taken);
    const { sizeBytes, runs } = taken;
    const record = snapshotStatus.move(creating, 'available', {
      size_bytes: sizeBytes,
      created_at: timestamp(services.clock),
      evidence: { read_from: 'snapshot', used_by: [...source.usedBy], hooks: [...runs] },
    });
    await services.catalog.commit((changes) => changes.put('snapshots', record));
    return record;
  } catch (thrown) {
    await placed.maker.remove(placed.place);
    await services.catalog.commit((changes) => changes.remove('snapshots', creating.id));
    throw thrown;
  }
}

const unsupported = ({ name }: VolumeRecord, why: string): Fault =>
  new Fault('SNAPSHOT_UNSUPPORTED', `Cannot make a snapshot of volume "${name}": ${why}`);

function emptyRecord(volume: VolumeRecord, name: string | undefined): SnapshotRecord {
  const id = randomUUID();
  return {
    id,
    name: name ?? `snapshot-${id}`,
    project_id: volume.project_id,
    volume_id: volume.id,
    source: volume.source,
    connection: null,
    status: snapshotStatus.begin('creating'),
    size_bytes: 0,
    created_at: '',
    made_by: 'operator',
    evidence: null,
  };
}

async function register({ catalog }: Services, record: SnapshotRecord): Promise<SnapshotRecord> {
  let taken = false;
  await catalog.commit((changes) => {
    for (const { name, volume_id } of catalog.all('snapshots')) {
      if (name === record.name && volume_id === record.volume_id) taken = true;
    }
    if (!taken) changes.put('snapshots', record);
  });
  if (!taken) return record;
  throw new Fault('ALREADY_EXISTS', `Cannot add snapshot "${record.name}": the volume has one of that name`);
}

/** Forgets a snapshot, and removes what is behind it where Basalt has made it. */
export async function dropSnapshot(
  services: Pick<Services, 'busyVolumes' | 'catalog' | 'snapshots'>,
  reference: string,
  project: string,
): Promise<SnapshotRecord> {
  const { catalog, busyVolumes: busy } = services;
  const snapshot = findSnapshot(catalog, reference, project);
  requireIdleSnapshot(services, snapshot, 'remove');
  busy.add(snapshot.id);
  try {
    await catalog.commit((changes) => changes.put('snapshots', snapshotStatus.move(snapshot, 'deleting')));
    try {
      await removeMade(services, snapshot);
    } catch (thrown) {
      await catalog.commit((changes) => changes.put('snapshots', snapshot));
      const { message: why } = toFault(thrown);
      throw new Fault('DEVICE_FAILED', `Cannot remove what is behind snapshot "${snapshot.name}": ${why}`);
    }
    await catalog.commit((changes) => changes.remove('snapshots', snapshot.id));
    return snapshot;
  } finally {
    busy.delete(snapshot.id);
  }
}

/** Only what Basalt has made. */
async function removeMade(
  { snapshots }: Pick<Services, 'snapshots'>,
  { made_by, source }: SnapshotRecord,
): Promise<void> {
  if (made_by === 'operator') return;
  const { maker, place } = snapshots.at(made_by, source);
  await maker.remove(place);
}

/** Finishes what a daemon that was killed had begun. Gives a sentence for each thing that it did. */
export async function recoverSnapshots(services: Pick<Services, 'catalog' | 'snapshots'>): Promise<string[]> {
  const { catalog } = services;
  const done: string[] = [];
  const wanted = snapshotsOfJobs(catalog);
  for (const snapshot of Array.from(catalog.all('snapshots'))) {
    const { id, name, status } = snapshot;
    if (status === 'available' || wanted.has(id)) continue;
    if (status === 'backing-up') {
      const free = snapshotStatus.move(snapshot, 'available');
      await catalog.commit((changes) => changes.put('snapshots', free));
      done.push(`Snapshot "${name}" is available again`);
      continue;
    }
    done.push(await finishSnapshot(services, snapshot));
  }
  return done;
}

/** Removes one that was never whole, or was on its way out. Gives a sentence. */
export async function finishSnapshot(
  services: Pick<Services, 'catalog' | 'snapshots'>,
  snapshot: SnapshotRecord,
): Promise<string> {
  const { id, name, status } = snapshot;
  const failed = await removeMade(services, snapshot).then(() => undefined, toFault);
  if (failed === undefined) await services.catalog.commit((changes) => changes.remove('snapshots', id));
  const end = failed === undefined ? 'it is gone' : `what is behind it stays: ${failed.message}`;
  return `Snapshot "${name}" was ${status}: ${end}`;
}

/** Snapshots whose backup goes on. */
function snapshotsOfJobs(catalog: Catalog): Set<string> {
  const wanted = new Set<string>();
  for (const { status, plan, backup_id } of catalog.all('jobs')) {
    if (jobStatus.hasEnded(status) || plan?.kind !== 'backup') continue;
    const id = catalog.get('backups', backup_id ?? '')?.snapshot_id;
    if (typeof id === 'string') wanted.add(id);
  }
  return wanted;
}
