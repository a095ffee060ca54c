/** Which files and devices this process reads or writes at the moment, so that a restore never meets a backup, nor another restore.
 *  Promises: any number of readers or one writer; a claim ends when it is given back. Process-wide, as descriptors are:
 *  locks of the kernel don't tell two uses by one process apart in all cases that matter here. */

interface Holders {
  readers: number;
  writers: number;
}

const claims = new Map<string, Holders>();

/** Gives the claim back; a second call does nothing. */
export type Release = () => void;

/** Undefined where the claim can't be had. */
export function claim(key: string, purpose: 'read' | 'write'): Release | undefined {
  const held = claims.get(key) ?? { readers: 0, writers: 0 };
  if (held.writers > 0 || (purpose === 'write' && held.readers > 0)) return undefined;
  claims.set(key, held);
  const side = purpose === 'read' ? 'readers' : 'writers';
  held[side] += 1;
  let given = false;
  return () => {
    if (given) return;
    given = true;
    held[side] -= 1;
    if (held.readers + held.writers === 0) claims.delete(key);
  };
}

/** Whether this process reads it already. */
export const isRead = (key: string): boolean => (claims.get(key)?.readers ?? 0) > 0;
