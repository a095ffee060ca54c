/** quota.*: one function a method. */

import type { HandlerParts, Some } from './parts.ts';

export const quotaHandlers = ({
  services: { quotas, catalog },
}: HandlerParts): Some<'quota.show' | 'quota.set' | 'quota.usage'> => ({
  'quota.show': async ({ project }) => ({ project_id: project, ...quotas.limitsOf(project) }),
  'quota.set': async ({ project, backups, backup_gigabytes }) => ({
    project_id: project,
    ...(await quotas.change(project, { backups, backup_gigabytes })),
  }),
  'quota.usage': async ({ project }) => {
    const { logical_bytes, new_bytes, stored_bytes } = catalog.usage(project);
    return { project_id: project, ...quotas.lines(project), logical_bytes, new_bytes, stored_bytes };
  },
});
