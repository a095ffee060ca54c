/** `basaltctl limit set`: changes the rates of all jobs together, at once. */

import type { Command } from 'commander';
import { parseRate } from '../../rate.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  read?: number;
  write?: number;
}

export function addLimitSet(noun: Command): void {
  verb(noun, 'set', {
    summary: 'Changes how fast all jobs together may read and write',
    details:
      'It counts at once, for jobs that run too, until the daemon stops. What counts after a start is read_rate and write_rate in the settings file.',
    examples: ['basaltctl limit set --read 100MiB', 'basaltctl limit set --read none --write 50MiB'],
    exits: [77],
  })
    .option('--read <RATE>', 'bytes a second that backups and verifications read; none: no limit', parseRate)
    .option('--write <RATE>', 'bytes a second that restores write; none: no limit', parseRate)
    .action(
      inSession(async (session, { read, write }: Options) => {
        await session.one(await session.call('limit.set', defined({ read, write })));
      }),
    );
}
