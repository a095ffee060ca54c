/** Registers, changes and forgets volumes. Promises: a name is used once in a project; a volume with a job under way, or with a
 *  snapshot, stays. */

import { randomUUID } from 'node:crypto';
import { Fault } from '../base/faults.ts';
import type { VolumeRecord } from '../catalog/records.ts';
import { volumeStatus } from '../catalog/statuses.ts';
import { describeDevice } from '../devices/describe.ts';
import { findVolume } from './find.ts';
import { changedProperties, type PropertyChange } from './properties.ts';
import { type Services, timestamp } from './services.ts';

export interface VolumeOrder {
  readonly name: string;
  readonly source: string;
  readonly id: string | undefined;
  readonly project: string;
  readonly properties: Readonly<Record<string, string>>;
  /** Where what is on the source is encrypted: the key. */
  readonly encryption_key_id: string | null;
}

export async function addVolume(services: Services, order: VolumeOrder): Promise<VolumeRecord> {
  const { url, sizeBytes } = await describeDevice(order.source);
  const id = order.id ?? randomUUID();
  const record: VolumeRecord = {
    id,
    name: order.name,
    project_id: order.project,
    source: url,
    status: volumeStatus.begin('available'),
    previous_status: null,
    size_bytes: sizeBytes,
    created_at: timestamp(services.clock),
    metadata: order.properties,
    encryption_key_id: order.encryption_key_id,
  };
  // Checked within the transaction: two requests may come at the same time.
  let taken: string | undefined;
  await services.catalog.commit((changes) => {
    for (const volume of services.catalog.all('volumes')) {
      if (volume.id === id) taken = `id "${id}"`;
      if (volume.name === order.name && volume.project_id === order.project) taken = `name "${order.name}"`;
    }
    if (taken === undefined) changes.put('volumes', record);
  });
  if (taken !== undefined)
    throw new Fault('ALREADY_EXISTS', `Cannot add a volume with ${taken}: there is one already`);
  return record;
}

export async function removeVolume(
  services: Services,
  reference: string,
  project: string,
): Promise<VolumeRecord> {
  const volume = findVolume(services.catalog, reference, project);
  const busy = services.busyVolumes.has(volume.id);
  if (busy || volume.status === 'backing-up' || volume.status === 'restoring-backup') {
    throw new Fault('VOLUME_BUSY', `Cannot remove volume "${volume.name}": a job is under way on it`);
  }
  for (const snapshot of services.catalog.all('snapshots')) {
    if (snapshot.volume_id !== volume.id) continue;
    throw new Fault(
      'VOLUME_BUSY',
      `Cannot remove volume "${volume.name}": it has snapshot "${snapshot.name}"`,
      {
        hint: 'Remove its snapshots first: basaltctl snapshot list, basaltctl snapshot remove',
      },
    );
  }
  await services.catalog.commit((changes) => changes.remove('volumes', volume.id));
  return volume;
}

export interface VolumeChange extends PropertyChange {
  /** Puts a volume right that a failed restore left in error. */
  readonly state: 'available' | undefined;
}

export async function setVolume(
  services: Services,
  reference: string,
  project: string,
  change: VolumeChange,
): Promise<VolumeRecord> {
  const { id } = findVolume(services.catalog, reference, project);
  let changed: VolumeRecord | undefined;
  await services.catalog.commit((changes) => {
    const volume = findVolume(services.catalog, id, project);
    requireIdleFor(services, volume, change);
    const metadata = changedProperties(volume.metadata, change);
    changed = volumeStatus.move(volume, change.state ?? volume.status, { metadata });
    changes.put('volumes', changed);
  });
  return changed ?? findVolume(services.catalog, id, project);
}

function requireIdleFor({ busyVolumes }: Services, volume: VolumeRecord, { state }: VolumeChange): void {
  if (state === undefined) return;
  if (!busyVolumes.has(volume.id) && volume.status !== 'backing-up' && volume.status !== 'restoring-backup')
    return;
  throw new Fault('VOLUME_BUSY', `Cannot set the state of volume "${volume.name}": a job is under way on it`);
}
