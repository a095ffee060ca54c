/** `basaltctl snapshot show`: one snapshot. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addSnapshotShow(noun: Command): void {
  verb(noun, 'show', {
    summary: 'Shows one snapshot',
    examples: ['basaltctl snapshot show before-upgrade'],
    exits: [66],
  })
    .argument('<SNAPSHOT>', 'name or id')
    .action(
      inSession(async (session, _: object, snapshot: string) => {
        await session.one(await session.call('snapshot.show', { snapshot, ...session.inProject }));
      }),
    );
}
