/** Keeps systemd told of how the daemon is while it runs: a line of status every few seconds, and whether its jobs get on.
 *  Promises: a job that shows no sign of life for long makes the watchdog bite; programs that the daemon starts can't speak for it.
 *  Takes NOTIFY_SOCKET and its like out of the environment. */

import type { Logger } from 'pino';
import type { Native } from '../../native/native.ts';
import { defaultRepository } from '../catalog/records.ts';
import type { Services } from '../jobs/services.ts';
import { createNotifier, type Notifier } from './notifier.ts';
import { statusLine } from './status-line.ts';

/** How often the line in `systemctl status` is renewed. */
const statusEveryMs = 5000;
/** A job that runs and shows no progress for so long hangs. */
const hangMs = 15 * 60 * 1000;

export type TellingParts = Pick<Services, 'jobs' | 'clock' | 'repositories'> & {
  readonly native: Pick<Native, 'notify'>;
};

export function startTelling({ jobs, clock, repositories, native }: TellingParts, log: Logger): Notifier {
  const isAlive = () => jobs.counts.running === 0 || clock.now() - jobs.lastProgressAtMs < hangMs;
  const notifier = createNotifier({ native, environment: { ...process.env }, isAlive, log });
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete process.env[name];
  const tell = () =>
    notifier.status(statusLine(jobs.active(), repositories.known(defaultRepository).holder.fault));
  const timer = setInterval(tell, statusEveryMs).unref();
  const close = () => {
    clearInterval(timer);
    notifier.close();
  };
  tell();
  return { ...notifier, close };
}
