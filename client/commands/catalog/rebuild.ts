/** `basaltctl catalog rebuild`: makes the catalog anew from the repository. */

import type { Command } from 'commander';
import { defaultRepository } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addCatalogRebuild(noun: Command): void {
  verb(noun, 'rebuild', {
    summary: 'Makes the catalog and the index anew from a repository',
    details: 'Waits. Backups are never changed: the repository is the truth, the catalog a fast copy of it.',
    examples: ['basaltctl catalog rebuild'],
    exits: [65, 66, 74, 75, 130],
  })
    .argument('[REPOSITORY]', 'name of the repository', defaultRepository)
    .action(
      inSession(async (session, _: object, name: string) => {
        const { job_id } = await session.call('catalog.rebuild', { name });
        const job = await session.wait(job_id);
        await session.one(job.result ?? job);
      }),
    );
}
