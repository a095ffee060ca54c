/** Tells systemd how the daemon is: ready, stopping, a line of status, and that it still makes progress.
 *  Promises: without NOTIFY_SOCKET it does nothing; the watchdog is fed only when `isAlive` says so; a message that can't
 *  be sent never stops the daemon. What it does not know: what progress is. */

import type { Logger } from 'pino';
import type { Native } from '../../native/native.ts';

export interface NotifierParts {
  readonly native: Pick<Native, 'notify'>;
  /** Where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** True while every part that has work gets on with it. */
  readonly isAlive: () => boolean;
  readonly log: Logger;
}

export interface Notifier {
  /** The daemon answers; from now on the watchdog is fed. */
  ready(): void;
  stopping(): void;
  /** One line, as `systemctl status` shows it. */
  status(text: string): void;
  /** Asks for this much more time to start or stop, counted from now. */
  extend(timeoutMs: number): void;
  close(): void;
}

/** Milliseconds between two feedings: half of what systemd waits. Undefined: no watchdog for this process. */
function feedingMs(environment: NotifierParts['environment']): number | undefined {
  const { WATCHDOG_USEC: limit, WATCHDOG_PID: pid } = environment;
  if (limit === undefined || !/^[1-9]\d{0,15}$/.test(limit)) return undefined;
  if (pid !== undefined && pid !== String(process.pid)) return undefined;
  return Math.max(1, Math.min(Math.floor(Number(limit) / 2000), 2 ** 31 - 1));
}

export function createNotifier(parts: NotifierParts): Notifier {
  const { native, environment, isAlive, log } = parts;
  const { NOTIFY_SOCKET: path } = environment;
  let timer: NodeJS.Timeout | undefined;
  let starving = false;

  const send = (message: string) => {
    if (path === undefined || path === '') return;
    try {
      native.notify(path, message);
    } catch (thrown) {
      log.warn({ err: thrown }, 'Cannot notify systemd; going on without');
    }
  };
  const feed = () => {
    const alive = isAlive();
    if (alive) send('WATCHDOG=1');
    else if (!starving)
      log.error('No progress; the watchdog is not fed, so that systemd restarts the daemon');
    starving = !alive;
  };

  return {
    ready: () => {
      send('READY=1');
      const everyMs = feedingMs(environment);
      if (everyMs !== undefined && path) timer ??= setInterval(feed, everyMs).unref();
    },
    stopping: () => send('STOPPING=1'),
    status: (text) => send(`STATUS=${text.replaceAll(/\s+/g, ' ').trim().slice(0, 500)}`),
    extend: (timeoutMs) => send(`EXTEND_TIMEOUT_USEC=${Math.ceil(timeoutMs * 1000)}`),
    close: () => {
      clearInterval(timer);
      timer = undefined;
    },
  };
}
