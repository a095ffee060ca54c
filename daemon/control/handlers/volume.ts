/** volume.*: one function a method. */

import type { JobRecord } from '../../catalog/records.ts';
import { findVolume } from '../../jobs/find.ts';
import type { JobReport } from '../../jobs/report.ts';
import type { Services } from '../../jobs/services.ts';
import { addVolume, removeVolume, setVolume } from '../../jobs/volumes.ts';
import type { Caller } from '../dispatch.ts';
import { requireAdmin } from '../permissions.ts';
import { presentListedJob, presentListedVolume, presentVolume } from '../present.ts';
import type { HandlerParts, Some } from './parts.ts';

export const volumeHandlers = ({
  services,
}: HandlerParts): Some<'volume.add' | 'volume.list' | 'volume.show' | 'volume.set' | 'volume.remove'> => ({
  'volume.add': async ({ encryption_key_id = null, source, id, ...params }, caller) => {
    const order = { ...params, source, id, encryption_key_id };
    return presentVolume(await addVolume(services, order, (job) => watched(services, caller, job)));
  },
  'volume.list': async ({ all_projects, project }, caller) => {
    const seen = [...services.catalog.all('volumes')].filter(({ project_id }) =>
      all_projects ? caller.mayActFor(project_id) : project_id === project,
    );
    return { volumes: seen.sort((a, b) => (a.name < b.name ? -1 : 1)).map(presentListedVolume) };
  },
  'volume.show': async ({ volume, project }) => presentVolume(findVolume(services.catalog, volume, project)),
  'volume.set': async (
    { volume, project, properties, clear_properties, remove_properties, state, accept_identity },
    caller,
  ) => {
    if (state !== undefined) requireAdmin(caller, `set the state of volume "${volume}"`);
    if (accept_identity !== undefined) requireAdmin(caller, `say which device volume "${volume}" is`);
    const change = { properties, clear_properties, remove_properties, state, accept_identity };
    return presentVolume(await setVolume(services, volume, project, change));
  },
  'volume.remove': async ({ volume, project }) =>
    presentVolume(await removeVolume(services, volume, project)),
});

/** Waits for a job that a request has begun, and tells how it moves. Who goes away calls it off. */
async function watched({ jobs }: Services, caller: Caller, { id }: JobRecord): Promise<JobReport> {
  const report = await jobs.watch(id, (now) => caller.emit(presentListedJob(now)), caller.signal);
  if (!caller.signal.aborted) return report;
  return jobs.cancel(id);
}
