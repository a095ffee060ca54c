/** `basaltctl volume show`: one volume. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addVolumeShow(noun: Command): void {
  verb(noun, 'show', {
    summary: 'Shows one volume',
    examples: ['basaltctl volume show web'],
    exits: [66],
  })
    .argument('<VOLUME>', 'name or id')
    .action(
      inSession(async (session, _: object, volume: string) => {
        await session.one(await session.call('volume.show', { volume, ...session.inProject }));
      }),
    );
}
