/** `basaltctl repository show`: the repository of the daemon. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addRepositoryShow(noun: Command): void {
  verb(noun, 'show', {
    summary: 'Shows the repository and whether it can be used',
    examples: ['basaltctl repository show'],
    exits: [],
  }).action(
    inSession(async (session) => {
      await session.one(await session.call('repository.show', {}));
    }),
  );
}
