/** Waiting that can be given up. Promises: nothing stays registered at a signal that outlives the wait. */

/** What `task` comes to; undefined as soon as the signal is aborted, unless the task has ended by then. It goes on, and its failure
 *  is nobody's. */
export async function unlessAborted<T>(task: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  let abort: () => void = () => undefined;
  const aborted = new Promise<undefined>((resolve) => {
    abort = () => resolve(undefined);
  });
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await Promise.race([task, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
