/** events.*: one function a method. Promises: nobody hears of what a project that is not his does, not even how often. */

import { Fault } from '../../base/faults.ts';
import type { BackupEvent } from '../../jobs/events.ts';
import type { CheckedParams } from '../../protocol/methods.ts';
import type { Caller } from '../dispatch.ts';
import type { HandlerParts, Some } from './parts.ts';

type Filter = Pick<CheckedParams<'events.list'>, 'kind' | 'backup' | 'all_projects' | 'project'>;

const wanted =
  ({ kind, backup, all_projects, project }: Filter, caller: Caller) =>
  (event: BackupEvent): boolean =>
    (all_projects ? caller.mayActFor(event.project_id) : event.project_id === project) &&
    (kind === undefined || event.event.startsWith(`${kind}.`)) &&
    (backup === undefined || event.backup_id === backup || event.backup_name === backup);

export const eventHandlers = ({
  services: { events },
  stopping,
}: HandlerParts): Some<'events.list' | 'events.follow'> => ({
  'events.list': async ({ limit, ...filter }, caller) => ({
    events: events.last(limit, wanted(filter, caller)),
  }),
  'events.follow': async ({ last, ...filter }, caller) => {
    const isWanted = wanted(filter, caller);
    // Nothing awaits between the two: no event is missed, and none told twice.
    for (const event of events.last(last, isWanted)) caller.tell(event);
    const leave = events.follow((event) => {
      if (isWanted(event)) caller.tell(event);
    });
    const over = AbortSignal.any([caller.signal, stopping]);
    await new Promise<void>((resolve) => {
      if (over.aborted) resolve();
      over.addEventListener('abort', () => resolve(), { once: true });
    });
    leave();
    throw new Fault('DAEMON_STOPPING', 'Cannot follow events any longer: the daemon is stopping');
  },
});
