/** Registers, changes and forgets volumes. Promises: a name is used once in a project; a volume with a job under way, or with a
 *  snapshot, stays. */

import { randomUUID } from 'node:crypto';
import { Fault } from '../base/faults.ts';
import type { JobRecord, VolumeRecord } from '../catalog/records.ts';
import { volumeStatus } from '../catalog/statuses.ts';
import { describeDevice } from '../devices/describe.ts';
import { identityIn } from './attachments/seen.ts';
import { lookAtDevice } from './device-jobs.ts';
import { findVolume } from './find.ts';
import { givenLocation, requireKey, storedOf } from './locations.ts';
import { changedProperties, type PropertyChange } from './properties.ts';
import type { JobReport } from './report.ts';
import { type Services, timestamp } from './services.ts';

export interface VolumeOrder {
  readonly name: string;
  /** A URL or path; or a connection_info document in its place. */
  readonly source: string | undefined;
  readonly connection_info?: unknown;
  /** False: a device that would have to be attached is not looked at now. */
  readonly attach: boolean;
  readonly id: string | undefined;
  readonly project: string;
  readonly properties: Readonly<Record<string, string>>;
  /** Where what is on the source is encrypted: the key. */
  readonly encryption_key_id: string | null;
}

/** `watch`: waits for a job in the name of the caller. */
export async function addVolume(
  services: Services,
  order: VolumeOrder,
  watch: (job: JobRecord) => Promise<JobReport>,
): Promise<VolumeRecord> {
  const { url, sizeBytes, connection, identity } = await describeSource(services, order, watch);
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
    connection,
    identity,
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

interface Described extends Pick<VolumeRecord, 'connection' | 'identity'> {
  readonly url: string;
  readonly sizeBytes: number;
}

/** A device that has to be attached is attached, looked at and detached: what it is counts from now on. */
async function describeSource(
  services: Services,
  { name, source, connection_info, attach, project, encryption_key_id }: VolumeOrder,
  watch: (job: JobRecord) => Promise<JobReport>,
): Promise<Described> {
  const location = givenLocation(services.connectors, { source, connection_info });
  requireKey(location, encryption_key_id, `add volume "${name}"`);
  if (location.where === 'here')
    return { ...(await describeDevice(location.url)), connection: null, identity: null };
  const connection = storedOf(location);
  if (!attach) return { url: location.url, sizeBytes: 0, connection, identity: null };
  const { record } = await watch(await lookAtDevice(services, location, project));
  if (record.fault !== null) {
    const { code, message, hint } = record.fault;
    throw new Fault(code, message, { hint });
  }
  const { size_bytes, names, serial } = record.result ?? {};
  const sizeBytes = Number(size_bytes ?? 0);
  const identity = identityIn({
    names: Array.isArray(names) ? names.map(String) : [],
    serial: typeof serial === 'string' ? serial : null,
    size_bytes: sizeBytes,
  });
  return { url: location.url, sizeBytes, connection, identity };
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
  /** The name of the device that the volume is from now on; "any": the next one that is attached. */
  readonly accept_identity?: string | undefined;
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
    const identity = acceptedIdentity(volume, change);
    changed = volumeStatus.move(volume, change.state ?? volume.status, { metadata, identity });
    changes.put('volumes', changed);
  });
  return changed ?? findVolume(services.catalog, id, project);
}

/** What the device has to be from now on. Named, so that nobody accepts another one than he means. */
function acceptedIdentity(
  { name, connection, identity }: VolumeRecord,
  { accept_identity: accepted }: VolumeChange,
): VolumeRecord['identity'] {
  if (accepted === undefined) return identity;
  if (connection === null) {
    throw new Fault('INVALID_ARGUMENT', `Cannot accept an identity of volume "${name}": it is not attached`, {
      hint: 'What is on this host is used as it is',
    });
  }
  return accepted === 'any' ? null : { names: [accepted], serial: null };
}

function requireIdleFor(
  { busyVolumes }: Services,
  volume: VolumeRecord,
  { state, accept_identity }: VolumeChange,
): void {
  if (state === undefined && accept_identity === undefined) return;
  if (!busyVolumes.has(volume.id) && volume.status !== 'backing-up' && volume.status !== 'restoring-backup')
    return;
  throw new Fault('VOLUME_BUSY', `Cannot set the state of volume "${volume.name}": a job is under way on it`);
}
