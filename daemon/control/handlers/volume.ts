/** volume.*: one function a method. */

import { findVolume } from '../../jobs/find.ts';
import { addVolume, removeVolume } from '../../jobs/volumes.ts';
import { presentVolume } from '../present.ts';
import type { HandlerParts, Some } from './parts.ts';

export const volumeHandlers = ({
  services,
}: HandlerParts): Some<'volume.add' | 'volume.list' | 'volume.show' | 'volume.remove'> => ({
  'volume.add': async ({ name, source, id, project }) =>
    presentVolume(await addVolume(services, { name, source, id, project })),
  'volume.list': async ({ all_projects, project }, caller) => {
    const seen = [...services.catalog.all('volumes')].filter(({ project_id }) =>
      all_projects ? caller.mayActFor(project_id) : project_id === project,
    );
    return { volumes: seen.sort((a, b) => (a.name < b.name ? -1 : 1)).map(presentVolume) };
  },
  'volume.show': async ({ volume, project }) => presentVolume(findVolume(services.catalog, volume, project)),
  'volume.remove': async ({ volume, project }) =>
    presentVolume(await removeVolume(services, volume, project)),
});
