/** Bounds how many calls to file systems of repositories are under way on threads of Node: in this whole process, and on each of them.
 *
 *    inLane ─(while its place has all its lanes, or none is free)▶ call ─▶ the first in line whose place has a free one
 *
 *  Promises: never more than `lanesMax`, so that file systems that do not answer leave threads to everybody else: libuv has four for
 *  all, and the catalog needs one of them for each commit; one that does not answer leaves a lane to the others. First come, first
 *  served among those who may. Knows nothing of what a call does. */

const lanesMax = 3;
const lanesEachMax = 2;

interface Waiting {
  readonly place: string;
  readonly enter: () => void;
}

let running = 0;
/** Calls under way of each place that has any. */
const runningAt = new Map<string, number>();
const waiting: Waiting[] = [];

const isFree = (place: string): boolean => running < lanesMax && (runningAt.get(place) ?? 0) < lanesEachMax;

function count(place: string, more: number): void {
  running += more;
  const now = (runningAt.get(place) ?? 0) + more;
  if (now === 0) runningAt.delete(place);
  else runningAt.set(place, now);
}

/** Runs one call to the file system at `place`, the root of a storage. Nothing that runs in a lane may ask for another one. */
export async function inLane<T>(place: string, call: () => Promise<T>): Promise<T> {
  if (isFree(place)) count(place, 1);
  else await new Promise<void>((enter) => waiting.push({ place, enter }));
  try {
    return await call();
  } finally {
    count(place, -1);
    admitNext();
  }
}

/** A lane that came free goes to somebody at once, so that nobody slips in between. */
function admitNext(): void {
  const next = waiting.findIndex((one) => isFree(one.place));
  const [entering] = next < 0 ? [] : waiting.splice(next, 1);
  if (entering === undefined) return;
  count(entering.place, 1);
  entering.enter();
}

/** Work that runs one after the other, in the order in which it came. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const running = this.#last.then(work);
    this.#last = running.catch(() => undefined);
    return running;
  }
}
