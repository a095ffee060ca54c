/** `basaltctl config show`: the settings that the daemon has in force. */

import type { Command } from 'commander';
import { settingTitles } from '../../output/titles.ts';
import { inSession, verb } from '../../verb.ts';

export function addConfigShow(noun: Command): void {
  verb(noun, 'show', {
    summary: 'Shows the settings that the daemon has in force',
    examples: ['basaltctl config show --origin', 'basaltctl config show -c name -c about'],
    exits: [],
  })
    .option('--origin', 'also where each comes from')
    .action(
      inSession(async (session, { origin }: { origin?: boolean }) => {
        const { settings } = await session.call('config.show', {});
        const initial = origin ? ['name', 'value', 'origin'] : ['name', 'value'];
        await session.list(settings, { titles: settingTitles, initial });
      }),
    );
}
