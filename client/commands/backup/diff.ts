/** `basaltctl backup diff`: what changed between two backups. */

import type { Command } from 'commander';
import { rangeTitles } from '../../output/titles.ts';
import { bytesText } from '../../output/units.ts';
import { inSession, verb } from '../../verb.ts';

export function addBackupDiff(noun: Command): void {
  verb(noun, 'diff', {
    summary: 'Lists the extents that differ between two backups',
    details: 'Offsets and lengths are exact bytes of the volume, in every format.',
    examples: ['basaltctl backup diff monday tuesday', 'basaltctl backup diff monday tuesday -f csv'],
    exits: [65, 66, 74],
  })
    .argument('<A>', 'name or id')
    .argument('<B>', 'name or id')
    .action(
      inSession(async (session, _: object, a: string, b: string) => {
        const whole = await session.call('backup.diff', { a, b, ...session.inProject });
        await session.list(whole.extents, { titles: rangeTitles, initial: ['offset', 'length'], whole });
        const extents = `${whole.extents.length}${whole.truncated ? ' and more' : ''}`;
        session.note(`Changed: ${bytesText(whole.changed_bytes)} in ${extents} extents`);
      }),
    );
}
