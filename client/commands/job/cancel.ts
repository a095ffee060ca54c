/** `basaltctl job cancel`: stops a job. One that has ended stays as it is, and that is no error. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addJobCancel(noun: Command): void {
  verb(noun, 'cancel', {
    summary: 'Cancels a job, and shows it',
    examples: ['basaltctl job cancel 6e0c1f0a-5a8b-4d53-9f0e-0b5f6d1f7c11'],
    exits: [66],
  })
    .argument('<JOB>', 'id')
    .action(
      inSession(async (session, _: object, job: string) => {
        await session.one(await session.call('job.cancel', { job, ...session.inProject }));
      }),
    );
}
