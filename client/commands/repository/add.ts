/** `basaltctl repository add`: makes a further repository known. */

import type { Command } from 'commander';
import { toSource } from '../../location.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addRepositoryAdd(noun: Command): void {
  verb(noun, 'add', {
    summary: 'Makes a further repository known under a name, and opens it',
    details:
      'Nothing is written to it. Where nothing is there yet, its status is "missing", and basaltctl repository init makes it.',
    examples: [
      'basaltctl repository add archive /mnt/archive',
      'basaltctl repository add old file:///mnt/old --read-only',
    ],
    exits: [65, 66, 73, 74, 75, 78],
  })
    .argument('<NAME>', 'name to give it')
    .argument('<URL>', 'URL or path')
    .option('--read-only', 'never write to it')
    .action(
      inSession(async (session, { readOnly }: { readOnly?: boolean }, name: string, url: string) => {
        const params = { name, url: toSource(url), ...defined({ read_only: readOnly }) };
        const repository = await session.call('repository.add', params);
        await session.one(repository);
        if (repository.status === 'missing') {
          session.note(`Nothing is there yet. To make it: basaltctl repository init ${name}`);
        }
      }),
    );
}
