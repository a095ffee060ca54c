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

const pageBytes = 4096;

/** One small read, past all caches of this host; "late": it has not come back in time. */
export async function tryRead(
  tools: Pick<Tools, 'run'>,
  file: string,
  page: number,
  limitMs: number,
): Promise<'read' | 'error' | 'late'> {
  const place = [`if=${file}`, `bs=${pageBytes}`, `skip=${page}`, 'count=1', 'iflag=direct'];
  // A reader that hangs does not end when it is killed, so its end is not what is waited for.
  const read = tools.run('dd', [...place, 'of=/dev/null', 'status=none'], { timeoutMs: limitMs }).then(
    ({ status }) => (status === 0 ? 'read' : 'error'),
    () => 'error' as const,
  );
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), limitMs);
  });
  try {
    return await Promise.race([read, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Places that are tried, one after the other, until one of them can be read. */
const places = 8;

/** Whether anything of it can be read. A place that can't is a bad sector, as long as others can. */
export async function anyReadable(
  tools: Pick<Tools, 'run'>,
  file: string,
  sizeBytes: number,
  limitMs: number,
): Promise<boolean> {
  const pages = Math.ceil(sizeBytes / pageBytes);
  for (let place = 0; place < places; place += 1) {
    const came = await tryRead(tools, file, Math.floor((place * pages) / places), limitMs);
    if (came !== 'error') return came === 'read';
  }
  return false;
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
    // An error is an answer, too.
    const came = await tryRead(tools, file, 0, limits.limitMs);
    if (!going) return;
    if (came !== 'late') return next();
    watches.delete(file);
    await letGo().catch(() => undefined);
  };
  watches.set(file, () => {
    going = false;
    clearTimeout(timer);
  });
  next();
}
