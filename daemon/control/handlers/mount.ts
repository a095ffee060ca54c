/** mount, unmount, view.list: one function a method. */

import { Fault } from '../../base/faults.ts';
import { readMountTable } from '../../base/mount-table.ts';
import { mountBackup, unmountBackup } from '../../jobs/mount-job.ts';
import { refuseForeignFolder } from '../paths.ts';
import { requireAdmin } from '../permissions.ts';
import { presentMount } from '../present.ts';
import type { HandlerParts, Some } from './parts.ts';

/** He would have a folder that he can't look into. */
const closedView = (directory: string): Fault =>
  new Fault('NOT_PERMITTED', `Cannot mount at "${directory}": the view lets in nobody but root`, {
    hint: 'Ask an administrator for view_allow_other = true, or use no mount: basaltctl file list, basaltctl file get',
  });

export const mountHandlers = ({ services }: HandlerParts): Some<'mount' | 'unmount' | 'view.list'> => ({
  mount: async ({ backup, directory, partition = null, kernel, temporary, project }, caller) => {
    // A bug in a file system of the kernel is a bug of the whole host.
    if (kernel) requireAdmin(caller, 'mount a file system by the kernel');
    else if (caller.uid !== 0 && services.view()?.allowOther === false) throw closedView(directory);
    await refuseForeignFolder(caller, directory);
    const { mount, job } = await mountBackup(services, {
      backup,
      directory,
      partition,
      kernel,
      temporary,
      project,
      ownerUid: caller.admin ? null : caller.uid,
    });
    return { mount: presentMount(services, mount, true), job_id: job.id };
  },
  unmount: async (order) => ({ job_id: (await unmountBackup(services, order)).id }),
  'view.list': async ({ project }) => {
    const there = new Set((await readMountTable()).map(({ directory }) => directory));
    return {
      view_dir: services.view()?.directory ?? null,
      mounts: [...services.catalog.all('mounts')]
        .filter(({ project_id }) => project_id === project)
        .map((mount) => presentMount(services, mount, there.has(mount.directory))),
    };
  },
});
