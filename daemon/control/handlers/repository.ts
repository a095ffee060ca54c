/** repository.* and catalog.*: one function a method. */

import { Fault } from '../../base/faults.ts';
import { forgetRepository } from '../../jobs/forget-repository.ts';
import { checkRepository, rebuildCatalog } from '../../jobs/repository-jobs.ts';
import { scanRepository } from '../../jobs/scan-job.ts';
import { describeRepository } from '../describe-repository.ts';
import type { HandlerParts, Some } from './parts.ts';

export const repositoryHandlers = ({
  services,
}: HandlerParts): Some<
  | 'repository.add'
  | 'repository.list'
  | 'repository.remove'
  | 'repository.init'
  | 'repository.show'
  | 'repository.check'
  | 'repository.scan'
  | 'repository.stats'
  | 'catalog.rebuild'
> => {
  return {
    'repository.add': async ({ name, url, read_only }) =>
      describeRepository(await services.repositories.add(name, url, read_only)),
    'repository.list': async () => ({
      repositories: await Promise.all(services.repositories.list().map(describeRepository)),
    }),
    'repository.remove': async ({ name, force }) => {
      const { url, forgotten } = await forgetRepository(services, name, force);
      return { name, url, records_forgotten: forgotten };
    },
    'repository.init': async ({ name, block_bytes }) => {
      const known = services.repositories.known(name);
      if (known.read_only) {
        throw new Fault(
          'REPOSITORY_READ_ONLY',
          `Cannot make repository "${name}": it was added as read-only`,
        );
      }
      await known.holder.init(block_bytes);
      return describeRepository(known);
    },
    'repository.show': async ({ name }) => describeRepository(services.repositories.known(name)),
    'repository.check': async ({ name, read_data }) => ({
      job_id: (await checkRepository(services, name, read_data)).id,
    }),
    'repository.scan': async ({ name, project }) => ({
      job_id: (await scanRepository(services, name, project)).id,
    }),
    'repository.stats': async ({ name }) => {
      const known = services.repositories.known(name);
      const counts = await (await known.holder.get()).statistics();
      let volumeBytes = 0;
      for (const { size_bytes, status, repository } of services.catalog.all('backups')) {
        if (repository === name && (status === 'available' || status === 'restoring'))
          volumeBytes += size_bytes;
      }
      return {
        ...(await describeRepository(known)),
        backups: counts.backups,
        packs: counts.packs,
        blocks: counts.blocks,
        stored_bytes: counts.storedBytes,
        volume_bytes: volumeBytes,
        index_bytes: counts.indexBytes,
        free_bytes: counts.freeBytes ?? null,
      };
    },
    'catalog.rebuild': async ({ name }) => ({ job_id: (await rebuildCatalog(services, name)).id }),
  };
};
