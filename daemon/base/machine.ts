/** A state machine as data: with which status a thing begins, and which may follow which.
 *
 *    begin(status) ─▶ record ─move(record, status)▶ record … ─▶ a status that nothing follows
 *
 *  Promises: a status that the table does not allow is never given out; staying as it is, is always allowed. Knows nothing of
 *  what the statuses mean: the tables are in `catalog/statuses.ts`. */

import { assert } from './assert.ts';

type Table<T> = { readonly [S in keyof T]: readonly (keyof T)[] };

export interface Machine<S extends string> {
  readonly what: string;
  readonly statuses: readonly S[];
  /** The status that a new thing gets. */
  begin<B extends S>(status: B): B;
  mayBegin(status: string): boolean;
  mayBecome(from: string, to: string): boolean;
  /** True where nothing can follow. */
  hasEnded(status: S): boolean;
  /** The record in another status, with `more` of it changed. */
  move<R extends { readonly status: S }>(record: R, to: S, more?: Partial<Omit<R, 'status'>>): R;
}

export type StatusOf<M> = M extends Machine<infer S> ? S : never;

export function machine<const T extends Table<T>>(
  what: string,
  begins: readonly (keyof T & string)[],
  next: T,
): Machine<keyof T & string> {
  type S = keyof T & string;
  const followers = new Map<string, readonly string[]>(
    Object.entries<readonly (keyof T)[]>(next).map(([status, after]) => [status, after.map(String)]),
  );
  const mayBegin = (status: string) => begins.some((begin) => begin === status);
  const mayBecome = (from: string, to: string) =>
    followers.has(to) && (from === to || (followers.get(from)?.includes(to) ?? false));
  return {
    what,
    statuses: Object.keys(next) as S[],
    begin: (status) => {
      assert(mayBegin(status), `a ${what} may begin as ${status}`);
      return status;
    },
    mayBegin,
    mayBecome,
    hasEnded: (status) => followers.get(status)?.length === 0,
    move: (record, to, more) => {
      assert(mayBecome(record.status, to), `a ${what} that is ${record.status} may become ${to}`);
      return { ...record, ...more, status: to };
    },
  };
}
