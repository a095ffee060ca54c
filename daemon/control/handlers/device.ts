/** device.*: one function a method. */

import { attachDevice, detachDevice, findAttachment, rescanDevice } from '../../jobs/device-jobs.ts';
import { listDevices, showDevice } from '../describe-device.ts';
import type { HandlerParts, Some } from './parts.ts';

export const deviceHandlers = ({
  services,
}: HandlerParts): Some<
  'device.list' | 'device.show' | 'device.attach' | 'device.detach' | 'device.rescan' | 'device.connector'
> => ({
  'device.list': async ({ stale }) => ({ devices: await listDevices(services, stale) }),
  'device.show': async ({ device, project }) =>
    showDevice(services, findAttachment(services, device, project)),
  'device.attach': async ({ location: source, connection_info, volume, access, project }) => ({
    job_id: (await attachDevice(services, { source, connection_info, volume, access, project })).id,
  }),
  'device.detach': async ({ device, force, project }) => ({
    job_id: (await detachDevice(services, device, { project, force })).id,
  }),
  'device.connector': async (given) => services.attachments.describeHost(given),
  'device.rescan': async ({ device, project }) => ({
    job_id: (await rescanDevice(services, device, project)).id,
  }),
});
