/** `basaltctl service list`: is the backup service up, enabled, and is its repository there. */

import type { Command } from 'commander';
import { serviceTitles } from '../../output/titles.ts';
import { inSession, verb } from '../../verb.ts';

const short = ['binary', 'host', 'zone', 'status', 'state', 'updated_at', 'repository', 'reason'];

export function addServiceList(noun: Command): void {
  verb(noun, 'list', {
    summary: 'Lists the backup service of this host with the state of each repository',
    details:
      'A row for each repository. State is "up" while it answers; Updated At is when it last did, and Reason why it does not,\nor why it can not be written. Why the service is disabled is in Disabled Reason, with --long.',
    examples: ['basaltctl service list --long', 'basaltctl service list -f value -c state'],
    exits: [],
  })
    .option('--long', 'more columns')
    .action(
      inSession(async (session, { long }: { long?: boolean }) => {
        const { services } = await session.call('service.list', {});
        const initial = long ? [...short, 'repository_url', 'disabled_reason'] : short;
        await session.list(services, { titles: serviceTitles, initial });
      }),
    );
}
