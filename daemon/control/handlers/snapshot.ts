/** snapshot.*: one function a method. */

import { findSnapshot, findVolume } from '../../jobs/find.ts';
import { addSnapshot, createSnapshot, dropSnapshot } from '../../jobs/snapshots.ts';
import { presentSnapshot } from '../present.ts';
import type { HandlerParts, Some } from './parts.ts';

export const snapshotHandlers = ({
  services,
}: HandlerParts): Some<
  'snapshot.add' | 'snapshot.create' | 'snapshot.list' | 'snapshot.show' | 'snapshot.remove'
> => ({
  'snapshot.add': async ({ source, created_at, ...params }) =>
    presentSnapshot(await addSnapshot(services, { ...params, source, created_at })),
  'snapshot.create': async ({ volume, name, project }, caller) =>
    presentSnapshot(await createSnapshot(services, { volume, name, project }, caller.signal)),
  'snapshot.list': async ({ volume, all_projects, project }, caller) => {
    const of = volume === undefined ? undefined : findVolume(services.catalog, volume, project).id;
    const seen = [...services.catalog.all('snapshots')].filter(
      ({ project_id, volume_id }) =>
        (all_projects ? caller.mayActFor(project_id) : project_id === project) &&
        (of === undefined || of === volume_id),
    );
    seen.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    return { snapshots: seen.map(presentSnapshot) };
  },
  'snapshot.show': async ({ snapshot, project }) =>
    presentSnapshot(findSnapshot(services.catalog, snapshot, project)),
  'snapshot.remove': async ({ snapshot, project }) =>
    presentSnapshot(await dropSnapshot(services, snapshot, project)),
});
