/** The rows of the table of methods that are about a project: what it may have, and what happens to its backups; see
 *  `methods.ts`. */

import { z } from 'zod';
import { eventsShownMax } from '../base/limits.ts';
import { inProject, method } from './method-row.ts';
import * as shape from './shapes.ts';
import type { EventValue, QuotaUsageValue, QuotaValue } from './values.ts';

const eventFilter = {
  kind: z.enum(['create', 'restore', 'delete']).optional(),
  backup: shape.reference.optional(),
  all_projects: z.boolean().default(false),
  ...inProject,
};

export const projectMethods = {
  'quota.show': method<QuotaValue>()({
    summary: 'Shows what a project may have at most.',
    needs: 'project',
    params: z.strictObject({ ...inProject }),
    answer: 'its limits; -1: none',
  }),
  'quota.set': method<QuotaValue>()({
    summary: 'Changes what a project may have at most. What it has already stays.',
    needs: 'admin',
    params: z.strictObject({
      backups: shape.quota.nullable().optional().describe('-1: no limit; null: the default again'),
      backup_gigabytes: shape.quota.nullable().optional().describe('-1: no limit; null: the default again'),
      ...inProject,
    }),
    answer: 'its limits',
  }),
  'quota.usage': method<QuotaUsageValue>()({
    summary: 'Shows what the backups of a project take, and what it may have.',
    needs: 'project',
    params: z.strictObject({ ...inProject }),
    answer: 'usage and limits',
  }),
  'events.list': method<{ events: EventValue[] }>()({
    summary:
      'Lists the last things that happened to backups, oldest first. A start of the daemon forgets them.',
    needs: 'project',
    params: z.strictObject({
      ...eventFilter,
      limit: z.int().min(1).max(eventsShownMax).default(100).describe('only the newest'),
    }),
    answer: 'events',
  }),
  'events.follow': method<never>()({
    summary:
      'Sends an event "backup" for each thing that happens to a backup, until the client goes. A client that is slow misses progress; one that does not read is cut off.',
    needs: 'project',
    params: z.strictObject({
      ...eventFilter,
      last: z
        .int()
        .min(0)
        .max(eventsShownMax)
        .default(0)
        .describe('begins with so many that happened before'),
    }),
    answer: 'none but a fault, when the daemon stops',
  }),
} as const;
