/** Tries again to remove what could not be removed when its time was over: what jobs had made for themselves, snapshots that were half
 *  made or half removed. So a command that outlasts everybody's patience leaves nothing behind for longer than it takes itself.
 *  Promises: what somebody is working on is left alone; one round at a time; what was done is in the log, what fails is tried again. */

import type { Logger } from 'pino';
import { jobStatus } from '../catalog/statuses.ts';
import { clearTemporary } from './recover.ts';
import type { Services } from './services.ts';
import { finishSnapshot } from './snapshots.ts';

const retryEveryMs = 15_000;

type Parts = Pick<Services, 'busyVolumes' | 'catalog' | 'jobs' | 'snapshots'>;

/** Until the answer is called; it resolves when no round is under way any more. */
export function retryLeftovers(services: Parts, log: Logger): () => Promise<void> {
  let round: Promise<void> | undefined;
  const next = (): void => {
    round ??= retryOnce(services, log)
      .catch((thrown: unknown) => log.error({ err: thrown }, 'Cannot look for what is left of jobs'))
      .finally(() => {
        round = undefined;
      });
  };
  const timer = setInterval(next, retryEveryMs);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await round;
  };
}

async function retryOnce(services: Parts, log: Logger): Promise<void> {
  const { busyVolumes: busy, catalog, jobs } = services;
  const done: string[] = [];
  const ended = [...catalog.all('jobs')].filter(
    ({ id, status, temporary_path }) =>
      temporary_path !== null && jobStatus.hasEnded(status) && !jobs.hangs(id),
  );
  for (const job of ended) {
    const temporary_path = await clearTemporary(services, job, done);
    if (temporary_path === null)
      await catalog.commit((changes) => changes.put('jobs', { ...job, temporary_path }));
  }
  const halves = [...catalog.all('snapshots')].filter(
    ({ id, status }) => (status === 'creating' || status === 'deleting') && !busy.has(id),
  );
  for (const snapshot of halves) done.push(await finishSnapshot(services, snapshot));
  for (const line of done) log.warn(line);
}
