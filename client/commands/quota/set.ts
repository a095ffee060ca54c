/** `basaltctl quota set`: changes what a project may have at most. */

import { type Command, InvalidArgumentError } from 'commander';
import { Fault } from '../../../daemon/protocol/faults.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

type Limit = number | 'default';

interface Options {
  backups?: Limit;
  backupGigabytes?: Limit;
}

function limit(text: string): Limit {
  if (text === 'default') return text;
  if (!/^(-1|\d{1,10})$/.test(text))
    throw new InvalidArgumentError('It is neither a count, nor -1, nor "default".');
  return Number(text);
}

/** null: the default again. */
const sent = (wanted: Limit | undefined): number | null | undefined => (wanted === 'default' ? null : wanted);

export function addQuotaSet(noun: Command): void {
  verb(noun, 'set', {
    summary: 'Changes how many backups, and how many GiB of them, a project may have',
    details:
      'It counts at once and stays over restarts. What the project has already is kept, also where it is more than the new limit.',
    examples: [
      'basaltctl quota set web --backups 30 --backup-gigabytes 2000',
      'basaltctl quota set web --backups -1',
      'basaltctl quota set web --backups default',
    ],
    exits: [77],
  })
    .argument('<PROJECT>', 'name')
    .option('--backups <N>', 'backups; -1: no limit; default: what the settings say', limit)
    .option(
      '--backup-gigabytes <N>',
      'GiB of all backups together; -1: no limit; default: what the settings say',
      limit,
    )
    .action(
      inSession(async (session, { backups, backupGigabytes }: Options, project: string) => {
        if (backups === undefined && backupGigabytes === undefined) {
          throw new Fault(
            'USAGE',
            'Cannot set a quota: neither "--backups" nor "--backup-gigabytes" is given',
          );
        }
        const limits = defined({ backups: sent(backups), backup_gigabytes: sent(backupGigabytes) });
        await session.one(await session.call('quota.set', { ...limits, project }));
      }),
    );
}
