/** Bounds how many calls to file systems of repositories are under way, in this whole process.
 *  Promises: never more than `lanesMax`, so that a file system that does not answer leaves threads to everybody else: libuv has four
 *  for all, and the catalog needs one of them for each commit. First come, first served. */

const lanesMax = 3;

let free = lanesMax;
const waiting: (() => void)[] = [];

/** Runs one call. Nothing that runs in a lane may ask for another one. */
export async function inLane<T>(call: () => Promise<T>): Promise<T> {
  if (free > 0) free -= 1;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await call();
  } finally {
    // The lane goes to the next one at once, so that nobody slips in between.
    const next = waiting.shift();
    if (next === undefined) free += 1;
    else next();
  }
}
