/** Work begun ahead of when it is wanted. Promises: at most `count` results are held; they come in the order of the source; what was
 *  begun and is not wanted any more fails unseen. Pure. */

/** Begins `work` on the next few of `source`, and gives each with its result. */
export async function* workAhead<T, R>(
  source: AsyncIterable<T>,
  count: number,
  work: (one: T) => Promise<R>,
): AsyncGenerator<readonly [T, R]> {
  const begun: { readonly one: T; readonly result: Promise<R> }[] = [];
  for await (const one of source) {
    const result = work(one);
    result.catch(() => undefined);
    begun.push({ one, result });
    const first = begun.length >= count ? begun.shift() : undefined;
    if (first !== undefined) yield [first.one, await first.result];
  }
  for (const { one, result } of begun) yield [one, await result];
}
