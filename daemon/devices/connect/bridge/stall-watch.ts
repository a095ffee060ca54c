/** Notices a server that has stopped to answer, and ends the program that waits for it, so that its readers get an error.
 *  Promises: a stall lasts at most `everyMs` and `limitMs` together; one watch for each file; nothing in this process ever waits for
 *  the server. Source: fuse(4): who reads a file whose server is gone waits for ever, and can't even be killed. */

import type { Tools } from '../tools.ts';
import { killProcess, type ProcessMark } from './lasting-process.ts';

export interface StallLimits {
  readonly everyMs: number;
  readonly limitMs: number;
}

export const stallLimits: StallLimits = { everyMs: 10_000, limitMs: 20_000 };

const watches = new Map<string, () => void>();

export function stopWatch(file: string): void {
  watches.get(file)?.();
  watches.delete(file);
}

/** One small read, past all caches of this host. False where it has not come back in time; an error is an answer, too. */
async function answers(tools: Pick<Tools, 'run'>, file: string, limitMs: number): Promise<boolean> {
  const words = [`if=${file}`, 'of=/dev/null', 'bs=4096', 'count=1', 'iflag=direct', 'status=none'];
  // A reader that hangs does not end when it is killed, so its end is not what is waited for.
  const read = tools.run('dd', words, { timeoutMs: limitMs }).then(
    () => true,
    () => true,
  );
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  try {
    return await Promise.race([read, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function startWatch(
  tools: Pick<Tools, 'run'>,
  file: string,
  mark: ProcessMark,
  limits: StallLimits,
): void {
  stopWatch(file);
  let timer: NodeJS.Timeout | undefined;
  let going = true;
  const next = (): void => {
    timer = setTimeout(() => void look(), limits.everyMs).unref();
  };
  const look = async (): Promise<void> => {
    const answered = await answers(tools, file, limits.limitMs);
    if (!going) return;
    if (answered) return next();
    await killProcess(mark);
    watches.delete(file);
  };
  watches.set(file, () => {
    going = false;
    clearTimeout(timer);
  });
  next();
}
