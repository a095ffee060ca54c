/** `basaltctl job list`: jobs, newest first. */

import type { Command } from 'commander';
import { jobTitles } from '../../output/titles.ts';
import { defined } from '../../session.ts';
import { inSession, verb, wholeNumber } from '../../verb.ts';

export function addJobList(noun: Command): void {
  verb(noun, 'list', {
    summary: 'Lists jobs, newest first',
    examples: ['basaltctl job list --active', 'basaltctl job list -c ID -c Kind -c Status -c Fault'],
    exits: [],
  })
    .option('--active', 'only what is queued or running')
    .option('--limit <COUNT>', 'at most so many', wholeNumber)
    .action(
      inSession(async (session, { active, limit }: { active?: boolean; limit?: number }) => {
        const params = { ...defined({ active, limit }), ...session.inProject };
        const { jobs } = await session.call('job.list', params);
        const initial = [
          'id',
          'kind',
          'status',
          'phase',
          'waiting_for',
          'bytes_done',
          'bytes_total',
          'created_at',
        ];
        await session.list(jobs, { titles: jobTitles, initial });
        if (jobs.length === 0) session.note('No jobs.');
      }),
    );
}
