/** `basaltctl service set`: takes the service out of use for new backups, and puts it back. */

import { type Command, Option } from 'commander';
import { Fault } from '../../../daemon/protocol/faults.ts';
import { serviceTitles } from '../../output/titles.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  enable?: boolean;
  disable?: boolean;
  disableReason?: string;
}

export function addServiceSet(noun: Command): void {
  verb(noun, 'set', {
    summary: 'Enables or disables new backups on this host',
    details:
      'While it is disabled, new backups are refused; what runs goes on, and restores, deletions and everything else work.\nIt stays so over a restart. Needs an administrator.',
    examples: [
      'basaltctl service set --disable --disable-reason "new disks on Monday"',
      'basaltctl service set --enable',
    ],
    exits: [75],
  })
    .addOption(new Option('--enable', 'take new backups again').conflicts(['disable', 'disableReason']))
    .option('--disable', 'take no new backups')
    .option('--disable-reason <TEXT>', 'why it is disabled')
    .action(
      inSession(async (session, { enable, disable, disableReason }: Options) => {
        if (enable !== true && disable !== true) {
          throw new Fault('USAGE', 'Cannot set the service: neither "--enable" nor "--disable" is given');
        }
        const reason = disableReason ?? '';
        const { services } = await session.call('service.set', { enabled: enable === true, reason });
        await session.list(services, {
          titles: serviceTitles,
          initial: ['host', 'status', 'disabled_reason'],
        });
      }),
    );
}
