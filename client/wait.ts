/** Waits for a job while showing how it moves. Promises: Ctrl-C ends the wait and leaves the job alone; whoever is cut off
 *  learns the id to go on with. Knows nothing of what the job does. */

import { Fault } from '../daemon/protocol/faults.ts';
import type { JobValue } from '../daemon/protocol/values.ts';
import type { Connection } from './connection.ts';
import { Detached, RemoteFailure } from './failure.ts';
import type { Progress } from './output/progress.ts';

export interface WaitParts {
  readonly connection: Connection;
  readonly progress: Progress;
  readonly inProject: { readonly project?: string };
}

/** The job as it ended, well or not. */
export async function waitForJob(parts: WaitParts, jobId: string): Promise<JobValue> {
  let detach = (): void => {};
  const detached = new Promise<never>((_, reject) => {
    detach = () => reject(new Detached(jobId));
  });
  process.once('SIGINT', detach);
  try {
    const ended = parts.connection.call(
      'job.watch',
      { job: jobId, ...parts.inProject },
      {
        onJob: (job) => parts.progress.update(job),
      },
    );
    return await Promise.race([ended, detached]);
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === 'DAEMON_UNREACHABLE') {
      throw new Fault(
        'DAEMON_UNREACHABLE',
        `Lost the connection to basaltd while waiting for job "${jobId}": it may still run`,
        { cause: thrown, hint: `Look after it with: basaltctl job watch ${jobId}` },
      );
    }
    throw thrown;
  } finally {
    process.off('SIGINT', detach);
    parts.progress.end();
  }
}

/** What a job that did not succeed is told as; undefined where all went well. */
export function failureOfJob(job: JobValue): Error | undefined {
  if (job.fault !== null) {
    const isTold = job.result === null || job.fault.code === 'FOUND_DAMAGE';
    return new RemoteFailure(isTold ? job.fault : { ...job.fault, details: job.result ?? {} });
  }
  if (job.status === 'cancelled') return new Fault('CANCELLED', `Job "${job.id}" was cancelled`);
  if (job.status === 'failed') return new Fault('INTERNAL', `Job "${job.id}" failed and did not say why`);
  return undefined;
}
