/** `basaltctl repository audit`: holds a Cinder repository to what Cinder demands, and tells what Cinder would make of it. */

import type { Command } from 'commander';
import { defaultRepository } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addRepositoryAudit(noun: Command): void {
  verb(noun, 'audit', {
    summary: 'Reads every object of a Cinder repository, and names all that is wrong with it',
    details:
      'Checks stray and missing files, MD5, lengths, gaps, hash lists and parents. "wrongly_restored" names backups that a Cinder ' +
      'of 2023.1 or newer restores wrongly to a new volume, with the bytes that keep older data; "short_files" those that end in ' +
      'zeros, which such a Cinder leaves out at the end of a file. Neither is damage: Basalt restores them right.',
    examples: ['basaltctl repository audit cinder', 'basaltctl repository audit cinder -f json'],
    exits: [64, 65, 66, 74, 75, 130],
  })
    .argument('[NAME]', 'name of the repository', defaultRepository)
    .action(
      inSession(async (session, _: object, name: string) => {
        const { job_id } = await session.call('repository.audit', { name });
        const job = await session.wait(job_id);
        await session.one(job.result ?? job);
      }),
    );
}
