/** `basaltctl quota usage`: what the backups of a project take. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';
import { ofProject } from './of-project.ts';

export function addQuotaUsage(noun: Command): void {
  verb(noun, 'usage', {
    summary: 'Shows what the backups of a project take, beside what it may have',
    details:
      'A backup counts as one, and with the whole size of its volume in GiB, rounded up, also an incremental one and one in status error, until it is deleted. One that is being made is reserved. logical_bytes is what the volumes have, stored_bytes what the repository took for it.',
    examples: [
      'basaltctl quota usage',
      'basaltctl quota usage web -f json',
      'basaltctl quota usage -c stored_bytes',
    ],
    exits: [],
  })
    .argument('[PROJECT]', 'your own where it is left out')
    .action(
      inSession(async (session, _: object, project?: string) => {
        await session.one(await session.call('quota.usage', ofProject(session, project)));
      }),
    );
}
