/** volume.*: one function a method. */

import { findVolume } from '../../jobs/find.ts';
import { addVolume, removeVolume, setVolume } from '../../jobs/volumes.ts';
import { requireAdmin } from '../permissions.ts';
import { presentListedVolume, presentVolume } from '../present.ts';
import type { HandlerParts, Some } from './parts.ts';

export const volumeHandlers = ({
  services,
}: HandlerParts): Some<'volume.add' | 'volume.list' | 'volume.show' | 'volume.set' | 'volume.remove'> => ({
  'volume.add': async ({ name, source, id, project, properties, encryption_key_id = null }) => {
    const order = { name, source, id, project, properties, encryption_key_id };
    return presentVolume(await addVolume(services, order));
  },
  'volume.list': async ({ all_projects, project }, caller) => {
    const seen = [...services.catalog.all('volumes')].filter(({ project_id }) =>
      all_projects ? caller.mayActFor(project_id) : project_id === project,
    );
    return { volumes: seen.sort((a, b) => (a.name < b.name ? -1 : 1)).map(presentListedVolume) };
  },
  'volume.show': async ({ volume, project }) => presentVolume(findVolume(services.catalog, volume, project)),
  'volume.set': async (
    { volume, project, properties, clear_properties, remove_properties, state },
    caller,
  ) => {
    if (state !== undefined) requireAdmin(caller, `set the state of volume "${volume}"`);
    const change = { properties, clear_properties, remove_properties, state };
    return presentVolume(await setVolume(services, volume, project, change));
  },
  'volume.remove': async ({ volume, project }) =>
    presentVolume(await removeVolume(services, volume, project)),
});
