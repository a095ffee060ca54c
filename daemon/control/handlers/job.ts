/** job.*: one function a method. */

import { Fault } from '../../base/faults.ts';
import type { JobReport } from '../../jobs/report.ts';
import type { Caller } from '../dispatch.ts';
import { presentJob, presentListedJob } from '../present.ts';
import type { HandlerParts, Some } from './parts.ts';

/** Events of one job are at least so far apart, but for its last one. */
const eventGapMs = 200;

/** Jobs on a whole repository tell of the backups of every project. */
const isSeen = ({ record: { kind } }: JobReport, { admin }: Caller): boolean =>
  admin || (kind !== 'check' && kind !== 'rebuild');

const interrupted = (job: string): Fault =>
  new Fault(
    'INTERRUPTED',
    `Interrupted job "${job}": the daemon stops, and the job goes on with its next start`,
  );

export const jobHandlers = ({
  services,
}: HandlerParts): Some<'job.list' | 'job.show' | 'job.watch' | 'job.cancel' | 'job.limit'> => {
  const { jobs, clock } = services;
  const found = (id: string, project: string, caller: Caller): JobReport => {
    const report = jobs.report(id);
    if (report.record.project_id === project && isSeen(report, caller)) return report;
    throw new Fault('JOB_UNKNOWN', `Cannot find job "${id}"`);
  };
  return {
    'job.list': async ({ active, limit, project }, caller) => {
      const all = jobs
        .list()
        .filter((report) => report.record.project_id === project && isSeen(report, caller));
      const wanted = active ? all.filter(({ record }) => record.finished_at === null) : all;
      return { jobs: wanted.slice(0, limit).map(presentListedJob) };
    },
    'job.show': async ({ job, project }, caller) => presentJob(found(job, project, caller)),
    'job.watch': async ({ job, project }, caller) => {
      found(job, project, caller);
      let [lastMs, lastPhase] = [0, ''];
      const tell = (report: JobReport) => {
        const nowMs = clock.now();
        if (nowMs - lastMs < eventGapMs && report.phase === lastPhase) return;
        [lastMs, lastPhase] = [nowMs, report.phase];
        caller.emit(presentJob(report));
      };
      const last = await jobs.watch(job, tell, caller.signal);
      if (last.record.finished_at === null && !caller.signal.aborted) throw interrupted(job);
      return presentJob(last);
    },
    'job.cancel': async ({ job, project }, caller) => {
      found(job, project, caller);
      return presentJob(await jobs.cancel(job));
    },
    'job.limit': async ({ job, rate, project }, caller) => {
      if (found(job, project, caller).record.finished_at !== null)
        throw new Fault('INVALID_ARGUMENT', `Cannot change the rate of job "${job}": it has ended`, {
          hint: 'List the jobs that have not: basaltctl job list --active',
        });
      return presentJob(jobs.limit(job, rate));
    },
  };
};
