/** `basaltctl job show`: one job. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addJobShow(noun: Command): void {
  verb(noun, 'show', {
    summary: 'Shows one job, also one that has ended',
    details: 'Ends with 0 whatever became of the job; basaltctl job watch ends with the status of its fault.',
    examples: ['basaltctl job show 6e0c1f0a-5a8b-4d53-9f0e-0b5f6d1f7c11'],
    exits: [66],
  })
    .argument('<JOB>', 'id')
    .action(
      inSession(async (session, _: object, job: string) => {
        await session.one(await session.call('job.show', { job, ...session.inProject }));
      }),
    );
}
