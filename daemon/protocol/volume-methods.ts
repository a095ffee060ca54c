/** The rows of the table of methods that are about volumes and their snapshots; see `methods.ts`. */

import { z } from 'zod';
import { inProject, method } from './method-row.ts';
import * as shape from './shapes.ts';
import type { SnapshotValue, VolumeValue } from './values.ts';

export const volumeMethods = {
  'volume.add': method<VolumeValue>()({
    summary:
      'Registers a source under a name: a file or device of this host, or one that is attached for each job.',
    needs: 'admin',
    params: z.strictObject({
      name: shape.name,
      source: shape.location.optional(),
      connection_info: shape.connectionInfo.optional(),
      attach: z
        .boolean()
        .default(true)
        .describe('false: a device that has to be attached is not looked at now; its size is 0 until it is'),
      id: shape.id.optional(),
      properties: shape.properties.default({}),
      encryption_key_id: shape.text.min(1).optional().describe('the source is encrypted by this key'),
      ...inProject,
    }),
    answer: 'the volume',
  }),
  'volume.list': method<{ volumes: VolumeValue[] }>()({
    summary: 'Lists the registered volumes.',
    needs: 'project',
    params: z.strictObject({ all_projects: z.boolean().default(false), ...inProject }),
    answer: 'volumes by name',
  }),
  'volume.show': method<VolumeValue>()({
    summary: 'Shows one volume.',
    needs: 'project',
    params: z.strictObject({ volume: shape.reference, ...inProject }),
    answer: 'the volume',
  }),
  'volume.set': method<VolumeValue>()({
    summary:
      'Changes the properties of a volume; an administrator may also set its state and the device that it is.',
    needs: 'project',
    params: z.strictObject({
      volume: shape.reference,
      properties: shape.properties.default({}),
      clear_properties: z.boolean().default(false),
      remove_properties: shape.propertyKeys.default([]),
      state: z.literal('available').optional(),
      accept_identity: shape.text
        .min(1)
        .optional()
        .describe(
          'name of the device that the volume is from now on, as WRONG_DEVICE told it; "any": the next one',
        ),
      ...inProject,
    }),
    answer: 'the volume',
  }),
  'volume.remove': method<VolumeValue>()({
    summary: 'Forgets a volume. Its backups stay.',
    needs: 'admin',
    params: z.strictObject({ volume: shape.reference, ...inProject }),
    answer: 'the volume that was forgotten',
  }),
  'snapshot.add': method<SnapshotValue>()({
    summary: 'Registers a frozen copy of a volume that somebody else has made.',
    needs: 'admin',
    params: z.strictObject({
      volume: shape.reference,
      name: shape.name,
      source: shape.location.optional(),
      connection_info: shape.connectionInfo.optional(),
      created_at: z.iso.datetime({ offset: true }).optional().describe('when it was taken; absent: now'),
      ...inProject,
    }),
    answer: 'the snapshot',
  }),
  'snapshot.create': method<SnapshotValue>()({
    summary:
      'Makes a snapshot of a volume whose source can make one (a file on btrfs or XFS, a volume of LVM).',
    needs: 'project',
    params: z.strictObject({ volume: shape.reference, name: shape.name.optional(), ...inProject }),
    answer: 'the snapshot',
  }),
  'snapshot.list': method<{ snapshots: SnapshotValue[] }>()({
    summary: 'Lists snapshots, newest first.',
    needs: 'project',
    params: z.strictObject({
      volume: shape.reference.optional(),
      all_projects: z.boolean().default(false),
      ...inProject,
    }),
    answer: 'snapshots',
  }),
  'snapshot.show': method<SnapshotValue>()({
    summary: 'Shows one snapshot.',
    needs: 'project',
    params: z.strictObject({ snapshot: shape.reference, ...inProject }),
    answer: 'the snapshot',
  }),
  'snapshot.remove': method<SnapshotValue>()({
    summary: 'Forgets a snapshot, and removes its file where Basalt has made it. Its backups stay.',
    needs: 'project',
    params: z.strictObject({ snapshot: shape.reference, ...inProject }),
    answer: 'the snapshot that was',
  }),
} as const;
