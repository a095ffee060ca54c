/** `basaltctl snapshot create`: makes a snapshot of a volume. */

import type { Command } from 'commander';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addSnapshotCreate(noun: Command): void {
  verb(noun, 'create', {
    summary: 'Makes a snapshot of a volume, and shows it',
    details:
      'Works where the source is a file on a file system that shares bytes between files (btrfs, XFS). It takes no room until the volume changes, and stays until basaltctl snapshot remove. freeze_command and thaw_command run around it.',
    examples: [
      'basaltctl snapshot create web before-upgrade',
      'basaltctl backup create web --snapshot before-upgrade --wait',
    ],
    exits: [66, 73, 75],
  })
    .argument('<VOLUME>', 'name or id')
    .argument('[NAME]', 'name of the snapshot')
    .action(
      inSession(async (session, _: object, volume: string, name: string | undefined) => {
        const params = { volume, ...defined({ name }), ...session.inProject };
        await session.one(await session.call('snapshot.create', params));
      }),
    );
}
