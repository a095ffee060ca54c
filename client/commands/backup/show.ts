/** `basaltctl backup show`: one backup. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addBackupShow(noun: Command): void {
  verb(noun, 'show', {
    summary: 'Shows one backup',
    examples: ['basaltctl backup show nightly', 'basaltctl backup show nightly -f value -c status'],
    exits: [66],
  })
    .argument('<BACKUP>', 'name or id')
    .action(
      inSession(async (session, _: object, backup: string) => {
        await session.one(await session.call('backup.show', { backup, ...session.inProject }));
      }),
    );
}
