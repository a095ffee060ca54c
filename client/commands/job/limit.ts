/** `basaltctl job limit`: changes the rate of one job while it runs. */

import type { Command } from 'commander';
import { parseRate } from '../../rate.ts';
import { inSession, verb } from '../../verb.ts';

export function addJobLimit(noun: Command): void {
  verb(noun, 'limit', {
    summary: 'Changes how fast a job may go, and shows it',
    examples: [
      'basaltctl job limit 6e0c1f0a-5a8b-4d53-9f0e-0b5f6d1f7c11 50MiB',
      'basaltctl job limit 6e0c1f0a-5a8b-4d53-9f0e-0b5f6d1f7c11 none',
    ],
    exits: [66],
  })
    .argument('<JOB>', 'id')
    .argument('<RATE>', 'bytes a second; none: no limit', parseRate)
    .action(
      inSession(async (session, _: object, job: string, rate: number) => {
        await session.one(await session.call('job.limit', { job, rate, ...session.inProject }));
      }),
    );
}
