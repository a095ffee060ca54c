/** `basaltctl repository check`: looks for what is damaged or missing. */

import type { Command } from 'commander';
import { defaultRepository, defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addRepositoryCheck(noun: Command): void {
  verb(noun, 'check', {
    summary: 'Checks manifests, maps and packs of the repository',
    details: 'Waits, and prints what was checked and what is damaged.',
    examples: ['basaltctl repository check', 'basaltctl repository check old --read-data -f json'],
    exits: [65, 66, 74, 75, 130],
  })
    .argument('[REPOSITORY]', 'name of the repository', defaultRepository)
    .option('--read-data', 'read and check every stored byte too')
    .action(
      inSession(async (session, { readData }: { readData?: boolean }, name: string) => {
        const { job_id } = await session.call('repository.check', {
          name,
          ...defined({ read_data: readData }),
        });
        const job = await session.wait(job_id);
        await session.one(job.result ?? job);
      }),
    );
}
