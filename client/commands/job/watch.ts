/** `basaltctl job watch`: follows a job to its end. One that has ended already is shown at once. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';
import { failureOfJob } from '../../wait.ts';

export function addJobWatch(noun: Command): void {
  verb(noun, 'watch', {
    summary: 'Follows a job until it ends, and shows it',
    details:
      'Ctrl-C ends the watching, not the job. A job that failed ends this with the status of its fault.',
    examples: ['basaltctl job watch 6e0c1f0a-5a8b-4d53-9f0e-0b5f6d1f7c11'],
    exits: [65, 66, 73, 74, 75, 130],
  })
    .argument('<JOB>', 'id')
    .action(
      inSession(async (session, _: object, job: string) => {
        const ended = await session.ended(job);
        await session.one(ended);
        const failure = failureOfJob(ended);
        if (failure !== undefined) throw failure;
      }),
    );
}
