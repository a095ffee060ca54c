/** The rows of the table of methods that are about attached devices; see `methods.ts`. All of them touch what belongs to the whole host:
 *  they are for administrators. */

import { z } from 'zod';
import type { ConnectorValue } from './host-value.ts';
import { inProject, method } from './method-row.ts';
import * as shape from './shapes.ts';
import type { DeviceValue } from './values.ts';

const device = shape.reference.describe('id of an attachment, or the volume that is attached');

export const deviceMethods = {
  'device.list': method<{ devices: DeviceValue[] }>()({
    summary: 'Lists the devices that are attached, with a fresh look at each.',
    needs: 'admin',
    params: z.strictObject({
      stale: z
        .boolean()
        .default(false)
        .describe('true: only those that something is left of, also without a record'),
    }),
    answer: 'devices, the oldest first',
  }),
  'device.show': method<DeviceValue>()({
    summary: 'Shows one attached device, with a fresh look at its paths.',
    needs: 'admin',
    params: z.strictObject({ device, ...inProject }),
    answer: 'the device',
  }),
  'device.attach': method<{ job_id: string }>()({
    summary: 'Attaches a device, which then stays until device.detach.',
    needs: 'admin',
    params: z.strictObject({
      location: shape.location.optional(),
      connection_info: shape.connectionInfo.optional(),
      volume: shape.reference.optional().describe('a registered volume, in place of a location'),
      access: z.enum(['read', 'write']).default('write'),
      ...inProject,
    }),
    answer: 'its job; the result of the job has the id of the attachment',
  }),
  'device.detach': method<{ job_id: string }>()({
    summary: 'Detaches a device that no job uses, and sees to it that nothing is left.',
    needs: 'admin',
    params: z.strictObject({
      device,
      force: z.boolean().default(false).describe('true: also one in status error'),
      ...inProject,
    }),
    answer: 'its job',
  }),
  'device.connector': method<ConnectorValue>()({
    summary:
      'What this host says of itself to a storage that is to export a volume to it, in the words of Cinder.',
    needs: 'admin',
    params: z.strictObject({
      ip: z
        .union([z.ipv4(), z.ipv6()])
        .optional()
        .describe('address to tell; absent: the one by which this host reaches others'),
      host: shape.text.min(1).optional().describe('name to tell; absent: the name of this host'),
    }),
    answer: 'the properties; what this host does not have is left out',
  }),
  'device.rescan': method<{ job_id: string }>()({
    summary: 'Looks for new, lost, returned and grown paths of an attached device.',
    needs: 'admin',
    params: z.strictObject({ device, ...inProject }),
    answer: 'its job; the result of the job has the size and the paths',
  }),
} as const;
