/** `basaltctl repository stats`: counts and sizes. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addRepositoryStats(noun: Command): void {
  verb(noun, 'stats', {
    summary: 'Counts what the repository holds, and what it takes',
    details: 'volume_bytes is what the backups would take without Basalt, stored_bytes what they do take.',
    examples: ['basaltctl repository stats', 'basaltctl repository stats -f value -c stored_bytes'],
    exits: [66],
  }).action(
    inSession(async (session) => {
      await session.one(await session.call('repository.stats', {}));
    }),
  );
}
