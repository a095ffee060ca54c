/** `basaltctl repository show`: one repository. */

import type { Command } from 'commander';
import { defaultRepository } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addRepositoryShow(noun: Command): void {
  verb(noun, 'show', {
    summary: 'Shows a repository and whether it can be used',
    examples: ['basaltctl repository show'],
    exits: [66],
  })
    .argument('[REPOSITORY]', 'name of the repository', defaultRepository)
    .action(
      inSession(async (session, _: object, name: string) => {
        await session.one(await session.call('repository.show', { name }));
      }),
    );
}
