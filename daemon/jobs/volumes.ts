/** Registers and forgets volumes. Promises: a name is used once in a project; a volume with a job under way stays. */

import { randomUUID } from 'node:crypto';
import { Fault } from '../base/faults.ts';
import type { VolumeRecord } from '../catalog/records.ts';
import { volumeStatus } from '../catalog/statuses.ts';
import { describeDevice } from '../devices/describe.ts';
import { findVolume } from './find.ts';
import { type Services, timestamp } from './services.ts';

export interface VolumeOrder {
  readonly name: string;
  readonly source: string;
  readonly id: string | undefined;
  readonly project: string;
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
    size_bytes: sizeBytes,
    created_at: timestamp(services.clock),
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
  await services.catalog.commit((changes) => changes.remove('volumes', volume.id));
  return volume;
}
