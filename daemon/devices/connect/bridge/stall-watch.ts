/** Notices a server that has stopped to answer, and calls on who can let its readers go with an error.
 *  Promises: a stall lasts at most `everyMs` and `limitMs` together; one watch for each file; nothing in this process ever waits for
 *  the server. Seen on Linux 6.1 and 6.18: who reads a file of FUSE or of NFS, mounted "soft" or not, waits for ever once the server
 *  is there and silent, and can't even be killed. */

import type { Tools } from '../tools.ts';

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
  letGo: () => Promise<unknown>,
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
    watches.delete(file);
    await letGo().catch(() => undefined);
  };
  watches.set(file, () => {
    going = false;
    clearTimeout(timer);
  });
  next();
}
