/** `basaltctl quota show`: what a project may have at most. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';
import { ofProject } from './of-project.ts';

export function addQuotaShow(noun: Command): void {
  verb(noun, 'show', {
    summary: 'Shows how many backups, and how many GiB of them, a project may have; -1 is no limit',
    examples: ['basaltctl quota show', 'basaltctl quota show web -f json'],
    exits: [],
  })
    .argument('[PROJECT]', 'your own where it is left out')
    .action(
      inSession(async (session, _: object, project?: string) => {
        await session.one(await session.call('quota.show', ofProject(session, project)));
      }),
    );
}
