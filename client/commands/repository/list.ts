/** `basaltctl repository list`: where backups are kept. */

import type { Command } from 'commander';
import { repositoryTitles } from '../../output/titles.ts';
import { inSession, verb } from '../../verb.ts';

export function addRepositoryList(noun: Command): void {
  verb(noun, 'list', {
    summary: 'Lists the repositories, the one of the settings first',
    examples: ['basaltctl repository list', 'basaltctl repository list -f value -c name -c status'],
    exits: [],
  }).action(
    inSession(async (session) => {
      const { repositories } = await session.call('repository.list', {});
      const initial = ['name', 'kind', 'status', 'url', 'read_only'];
      await session.list(repositories, { titles: repositoryTitles, initial });
    }),
  );
}
