/** `basaltctl snapshot remove`: forgets a snapshot, and removes what Basalt has made for it. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addSnapshotRemove(noun: Command): void {
  verb(noun, 'remove', {
    summary: 'Forgets a snapshot',
    details:
      'The file of a snapshot that Basalt has made is removed; one that was registered is not touched. Backups made of it stay.',
    examples: ['basaltctl snapshot remove before-upgrade'],
    exits: [66, 75],
  })
    .argument('<SNAPSHOT>', 'name or id')
    .action(
      inSession(async (session, _: object, snapshot: string) => {
        await session.one(await session.call('snapshot.remove', { snapshot, ...session.inProject }));
      }),
    );
}
