/** Tries again to remove what could not be removed when its time was over: what jobs had made for themselves, snapshots that were half
 *  made or half removed, snapshots that only the next backup could have used. So a command that outlasts everybody's patience leaves
 *  nothing behind for longer than it takes itself.
 *  Promises: what somebody is working on is left alone; one round at a time; what was done is in the log, what fails is tried again. */

import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import { stopGraceMs } from '../base/limits.ts';
import { jobStatus } from '../catalog/statuses.ts';
import { dropOlder } from './kept-for-next.ts';
import { clearTemporary } from './recover.ts';
import type { Services } from './services.ts';
import { finishSnapshot } from './snapshots.ts';

const retryEveryMs = 15_000;

type Parts = Pick<Services, 'busyVolumes' | 'catalog' | 'jobs' | 'keepSnapshots' | 'snapshots'>;

/** Until the answer is called. */
export function retryLeftovers(services: Parts, log: Logger): () => Promise<void> {
  let round: Promise<void> | undefined;
  /** What fails again and again for the same reason is told once. */
  let told: readonly string[] = [];
  const next = (): void => {
    round ??= retryOnce(services)
      .then((done) => {
        for (const line of done) if (!told.includes(line)) log.warn(line);
        told = done;
      })
      .catch((thrown: unknown) => log.error({ err: thrown }, 'Cannot look for what is left of jobs'))
      .finally(() => {
        round = undefined;
      });
  };
  const timer = setInterval(next, retryEveryMs);
  timer.unref();
  return async () => {
    clearInterval(timer);
    // What hangs in a device ends with the process.
    await Promise.race([round, wait(stopGraceMs, undefined, { ref: false })]);
  };
}

/** Gives a sentence for each thing that it did, or could not do. */
async function retryOnce(services: Parts): Promise<string[]> {
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
  await dropOlder(services, (what) => done.push(what));
  done.push(...(await services.snapshots.recover()));
  return done;
}
