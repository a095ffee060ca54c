/** What one verb works with: calls to the daemon, waiting, printing; all by the global options.
 *  Promises: the socket is opened by the first call, so that help and usage faults need no daemon. */

import type { MethodName, Params, Result } from '../daemon/protocol/methods.ts';
import type { EventValue, JobValue } from '../daemon/protocol/values.ts';
import { type Connection, connect } from './connection.ts';
import { detailLines, failureOf, failureText } from './failure.ts';
import { createOutput, type Format, type Output } from './output/print.ts';
import { progressOn } from './output/progress.ts';
import { failureOfJob, waitForJob } from './wait.ts';

/** Name of the repository that the daemon was started with. */
export const defaultRepository = 'default';
export const defaultSocketPath = '/run/basalt/basaltd.sock';

export interface GlobalOptions {
  readonly socket: string;
  readonly project?: string;
  readonly format: Format;
  readonly column: readonly string[];
}

export interface Session extends Output {
  readonly format: Format;
  /** What `-c` asked for. */
  readonly columns: readonly string[];
  /** The project to act for, to be spread into params; nothing where the daemon's default is meant. */
  readonly inProject: { readonly project?: string };
  call<M extends MethodName>(method: M, params: Params<M>): Promise<Result<M>>;
  /** A call that may take long: shows how it moves. */
  attend<M extends MethodName>(method: M, params: Params<M>): Promise<Result<M>>;
  /** Tells `onEvent` of events until the daemon stops, which is thrown, or nobody reads what is printed. */
  follow(params: Params<'events.follow'>, onEvent: (event: EventValue) => void): Promise<void>;
  /** The job as it ended well; otherwise its fault is thrown. A report of damage is printed all the same, as `show` does: it is what was
   *  asked for. Other details of a failure are no answer: they go with the fault. */
  wait(jobId: string, show?: (result: object) => Promise<void>): Promise<JobValue>;
  /** The job as it ended, well or not. */
  ended(jobId: string): Promise<JobValue>;
  /** Tells a failure that does not end the command. */
  complain(thrown: unknown): void;
  close(): void;
}

export function openSession(options: GlobalOptions): Session {
  let opened: Promise<Connection> | undefined;
  const connection = (): Promise<Connection> => (opened ??= connect(options.socket));
  const inProject = options.project === undefined ? {} : { project: options.project };
  const output = createOutput({
    format: options.format,
    columns: options.column,
    writeOut: (text) => process.stdout.write(text),
    writeNote: (text) => process.stderr.write(text),
  });
  const ended = async (jobId: string): Promise<JobValue> => {
    const parts = { connection: await connection(), progress: await progressOn(process.stderr), inProject };
    return waitForJob(parts, jobId);
  };
  return {
    ...output,
    format: options.format,
    columns: options.column,
    inProject,
    call: async (method, params) => (await connection()).call(method, params),
    attend: async (method, params) => {
      const progress = await progressOn(process.stderr);
      try {
        return await (await connection()).call(method, params, { onJob: (job) => progress.update(job) });
      } finally {
        progress.end();
      }
    },
    follow: async (params, onEvent) => {
      const unread = new Promise<void>((resolve) => {
        process.stdout.once('error', () => resolve());
      });
      await Promise.race([(await connection()).call('events.follow', params, { onEvent }), unread]);
    },
    ended,
    wait: async (jobId, show = (result) => output.one(result)) => {
      const job = await ended(jobId);
      const failure = failureOfJob(job);
      if (failure === undefined) return job;
      const isReport = job.fault?.code === 'FOUND_DAMAGE';
      if (isReport && job.result !== null) await show(job.result);
      if (!isReport && options.format !== 'json') for (const line of detailLines(job)) output.note(line);
      throw failure;
    },
    complain: (thrown) => {
      process.stderr.write(failureText(failureOf(thrown), options.format));
    },
    close: () => {
      // A connection that failed has been reported by the call that wanted it.
      opened?.then(
        (one) => one.close(),
        () => {},
      );
    },
  };
}

/** What may be absent, left out: the daemon takes a missing key for the default and refuses an empty one. */
export function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as Defined<T>;
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};
