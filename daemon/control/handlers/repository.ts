/** repository.* and catalog.*: one function a method. */

import { Fault } from '../../base/faults.ts';
import { auditRepository } from '../../jobs/audit-job.ts';
import { forgetRepository } from '../../jobs/forget-repository.ts';
import { checkRepository, rebuildCatalog } from '../../jobs/repository-jobs.ts';
import { scanRepository } from '../../jobs/scan-job.ts';
import type { CheckedParams } from '../../protocol/methods.ts';
import type { RepositoryValue } from '../../protocol/values.ts';
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
  | 'repository.audit'
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
    'repository.init': async (wishes) => initRepository(services, wishes),
    'repository.show': async ({ name }) => describeRepository(services.repositories.known(name)),
    'repository.check': async ({ name, read_data }) => ({
      job_id: (await checkRepository(services, name, read_data)).id,
    }),
    'repository.scan': async ({ name, project }) => ({
      job_id: (await scanRepository(services, name, project)).id,
    }),
    'repository.audit': async ({ name }) => ({ job_id: (await auditRepository(services, name)).id }),
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

async function initRepository(
  { repositories }: HandlerParts['services'],
  { name, kind, ...options }: CheckedParams<'repository.init'>,
): Promise<RepositoryValue> {
  const known = repositories.known(name);
  if (known.read_only) {
    throw new Fault('REPOSITORY_READ_ONLY', `Cannot make repository "${name}": it was added as read-only`);
  }
  if (kind !== undefined && kind !== known.kind) {
    const message = `Cannot make repository "${name}" of kind "${kind}": its URL is of kind "${known.kind}"`;
    throw new Fault('INVALID_ARGUMENT', message, {
      hint: 'The URL says the kind: file:///path, or cinder+file:///path',
    });
  }
  await known.holder.init({
    blockBytes: options.block_bytes,
    compression: options.compression,
    objectBytes: options.object_bytes,
    hashBlockBytes: options.hash_block_bytes,
  });
  return describeRepository(known);
}
