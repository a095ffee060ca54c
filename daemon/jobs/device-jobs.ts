/** The jobs that attach, detach and rescan devices by themselves: for the operator, and to look at a volume that is being added.
 *  Promises: what is wrong with a location is said before a job begins; a job that is cancelled leaves nothing attached. */

import { Fault } from '../base/faults.ts';
import type { AttachmentRecord, JobRecord } from '../catalog/records.ts';
import type { Location, RemoteLocation } from '../devices/connect/connectors.ts';
import { deviceUnknown } from '../devices/connect/trouble.ts';
import { attachFor, endHold } from './attached-device.ts';
import { findVolumeAnywhere } from './find.ts';
import { type GivenLocation, givenLocation, volumeLocation } from './locations.ts';
import type { Services } from './services.ts';

export interface DeviceOrder extends GivenLocation {
  /** In place of a location: a registered volume. */
  readonly volume: string | undefined;
  readonly project: string;
}

const ofDevice = (project_id: string, volume_id: string | null = null) => ({
  project_id,
  volume_id,
  backup_id: null,
});

const requireRemote = (location: Location): RemoteLocation => {
  if (location.where === 'attached') return location;
  throw new Fault('INVALID_ARGUMENT', `Cannot attach "${location.url}": it is on this host already`, {
    hint: 'A file, loop or block device is used as it is',
  });
};

function wantedBy(services: Services, { volume: reference, project, ...given }: DeviceOrder) {
  const volume =
    reference === undefined ? undefined : findVolumeAnywhere(services.catalog, reference, project);
  const { connectors } = services;
  const location =
    volume === undefined ? givenLocation(connectors, given) : volumeLocation(connectors, volume);
  return { volume, location: requireRemote(location) };
}

/** Attaches a device, which stays until `detachDevice`. */
export async function attachDevice(
  services: Services,
  order: DeviceOrder & { readonly access: 'read' | 'write' },
): Promise<JobRecord> {
  const { volume, location } = wantedBy(services, order);
  return services.jobs.submit({
    kind: 'attach',
    ...ofDevice(order.project, volume?.id),
    run: async (context) => {
      const { access } = order;
      const hold = await attachFor(services, context, { location, access, volume });
      try {
        await services.attachments.holdForOperator(hold);
        const { device, identity } = hold.found;
        return { attachment_id: hold.id, url: hold.url, device, size_bytes: identity.sizeBytes };
      } finally {
        await endHold(hold, context);
      }
    },
  });
}

/** Attaches a device to see what it is, and detaches it. The job's result has `size_bytes`, `names` and `serial`. */
export function lookAtDevice(
  services: Services,
  location: RemoteLocation,
  project: string,
): Promise<JobRecord> {
  return services.jobs.submit({
    kind: 'attach',
    ...ofDevice(project),
    run: async (context) => {
      const hold = await attachFor(services, context, { location, access: 'read', volume: undefined });
      try {
        const { names, serial, sizeBytes: size_bytes } = hold.found.identity;
        return { url: hold.url, size_bytes, names, serial };
      } finally {
        await endHold(hold, context);
      }
    },
  });
}

/** An attachment by its id, or by the volume that is attached. DEVICE_UNKNOWN. */
export function findAttachment(services: Services, reference: string, project: string): AttachmentRecord {
  const { attachments, catalog, connectors } = services;
  const known = catalog.get('attachments', reference);
  if (known !== undefined) return known;
  const volumes = [...catalog.all('volumes')].filter(
    ({ id, name }) => id === reference || name === reference,
  );
  const volume = volumes.find(({ project_id }) => project_id === project) ?? volumes[0];
  const location = volume === undefined ? undefined : volumeLocation(connectors, volume);
  const found = location?.where === 'attached' ? attachments.withKey(attachments.keyOf(location)) : undefined;
  if (found === undefined) throw deviceUnknown(reference);
  return found;
}

export function detachDevice(
  services: Services,
  reference: string,
  { project, force }: { readonly project: string; readonly force: boolean },
): Promise<JobRecord> {
  if (reference.startsWith('stray-')) return clearStray(services, reference, project);
  const { id, url } = findAttachment(services, reference, project);
  return services.jobs.submit({
    kind: 'detach',
    ...ofDevice(project),
    run: async (context) => {
      context.doing(`detaching ${url}`);
      await services.attachments.detach(id, force, (what) => context.doing(`detaching: ${what}`));
      return { attachment_id: id, url };
    },
  });
}

/** What connectors have found that nobody has a record of. */
function clearStray(services: Services, reference: string, project: string): Promise<JobRecord> {
  return services.jobs.submit({
    kind: 'detach',
    ...ofDevice(project),
    run: async (context) => {
      context.doing(`clearing ${reference} away`);
      const { id, url } = await services.attachments.clearStray(reference);
      return { attachment_id: id, url };
    },
  });
}

export function rescanDevice(services: Services, reference: string, project: string): Promise<JobRecord> {
  const { id, url } = findAttachment(services, reference, project);
  return services.jobs.submit({
    kind: 'rescan',
    ...ofDevice(project),
    run: async (context) => {
      context.doing(`rescanning ${url}`);
      const note = (what: string) => context.doing(`rescanning: ${what}`);
      const { seen } = await services.attachments.rescan(id, context.signal, note);
      const paths = (seen?.paths ?? []).map((path) => ({ ...path }));
      return { attachment_id: id, url, size_bytes: seen?.size_bytes ?? 0, paths };
    },
  });
}
