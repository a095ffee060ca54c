/** `basaltctl catalog rebuild`: makes the catalog anew from the repository. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addCatalogRebuild(noun: Command): void {
  verb(noun, 'rebuild', {
    summary: 'Makes the catalog and the index anew from the repository',
    details: 'Waits. Backups are never changed: the repository is the truth, the catalog a fast copy of it.',
    examples: ['basaltctl catalog rebuild'],
    exits: [65, 66, 74, 75, 130],
  }).action(
    inSession(async (session) => {
      const { job_id } = await session.call('catalog.rebuild', {});
      const job = await session.wait(job_id);
      await session.one(job.result ?? job);
    }),
  );
}
