/** `basaltctl repository stats`: counts and sizes. */

import type { Command } from 'commander';
import { defaultRepository } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addRepositoryStats(noun: Command): void {
  verb(noun, 'stats', {
    summary: 'Counts what a repository holds, and what it takes',
    details: 'volume_bytes is what the backups would take without Basalt, stored_bytes what they do take.',
    examples: ['basaltctl repository stats', 'basaltctl repository stats -f value -c stored_bytes'],
    exits: [66],
  })
    .argument('[REPOSITORY]', 'name of the repository', defaultRepository)
    .action(
      inSession(async (session, _: object, name: string) => {
        await session.one(await session.call('repository.stats', { name }));
      }),
    );
}
