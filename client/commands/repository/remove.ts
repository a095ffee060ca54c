/** `basaltctl repository remove`: forgets a repository and leaves what it holds. */

import type { Command } from 'commander';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addRepositoryRemove(noun: Command): void {
  verb(noun, 'remove', {
    summary: 'Forgets a repository that was added',
    details: 'What it holds stays as it is. With --force the records of its backups are forgotten, too.',
    examples: ['basaltctl repository remove old', 'basaltctl repository remove old --force'],
    exits: [66, 75],
  })
    .argument('<REPOSITORY>', 'name of the repository')
    .option('--force', 'forget the records of its backups, too')
    .action(
      inSession(async (session, { force }: { force?: boolean }, name: string) => {
        await session.one(await session.call('repository.remove', { name, ...defined({ force }) }));
      }),
    );
}
