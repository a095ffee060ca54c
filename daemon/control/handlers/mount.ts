/** mount, unmount, view.list: one function a method. */

import { mountBackup, unmountBackup } from '../../jobs/mount-job.ts';
import { refuseForeignFolder } from '../paths.ts';
import { presentMount } from '../present.ts';
import type { HandlerParts, Some } from './parts.ts';

export const mountHandlers = ({ services }: HandlerParts): Some<'mount' | 'unmount' | 'view.list'> => ({
  mount: async ({ backup, directory, partition = null, project }, caller) => {
    await refuseForeignFolder(caller, directory);
    const { mount, job } = await mountBackup(services, {
      backup,
      directory,
      partition,
      project,
      ownerUid: caller.admin ? null : caller.uid,
    });
    return { mount: presentMount(mount), job_id: job.id };
  },
  unmount: async ({ directory, project }) => ({
    job_id: (await unmountBackup(services, directory, project)).id,
  }),
  'view.list': async ({ project }) => ({
    view_dir: services.view()?.directory ?? null,
    mounts: [...services.catalog.all('mounts')]
      .filter(({ project_id }) => project_id === project)
      .map(presentMount),
  }),
});
