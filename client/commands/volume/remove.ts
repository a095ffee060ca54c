/** `basaltctl volume remove`: forgets a volume and keeps its backups. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addVolumeRemove(noun: Command): void {
  verb(noun, 'remove', {
    summary: 'Forgets a volume',
    details: 'Neither the source nor a backup is touched: the backups stay listed and can be restored.',
    examples: ['basaltctl volume remove web'],
    exits: [66, 75],
  })
    .argument('<VOLUME>', 'name or id')
    .action(
      inSession(async (session, _: object, volume: string) => {
        await session.one(await session.call('volume.remove', { volume, ...session.inProject }));
      }),
    );
}
