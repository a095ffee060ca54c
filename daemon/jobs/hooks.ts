/** Commands of the operator that hold an application still while a snapshot of its volume is made.
 *
 *    note in the catalog ─▶ freeze ─▶ snapshot ─▶ thaw ─▶ note gone
 *
 *  Promises: who was told to freeze is told to thaw, whatever happened between: failure, time-out, cancellation, the end of the
 *  daemon (`thawAfterCrash`); no command runs longer than the time limit; no shell takes part.
 *  A command gets what it is about as one JSON object on stdin, and its exit status 0 means that it did its work. */

import { randomUUID } from 'node:crypto';
import { runProgram } from '../base/program.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { HookRun } from '../format/manifest.ts';

export interface HookSettings {
  /** The program and its arguments; null: none. */
  readonly freeze: readonly string[] | null;
  readonly thaw: readonly string[] | null;
  readonly timeoutMs: number;
}

/** What a command learns. */
export interface HookSubject {
  readonly volume_id: string;
  readonly volume_name: string;
  readonly project_id: string;
  readonly source: string;
  readonly backup_id: string | null;
  readonly snapshot_id: string | null;
}

export interface Frozen {
  readonly runs: readonly HookRun[];
  /** True where the freeze did its work, so that what was made meanwhile is as the application wants it. */
  readonly held: boolean;
}

const noteId = /^frozen:/;

interface Parts {
  readonly catalog: Catalog;
  readonly hooks: HookSettings;
}

/** Runs `work` between freeze and thaw. What `work` throws is thrown after the thaw. */
export async function whileFrozen(
  { catalog, hooks }: Parts,
  subject: HookSubject,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<Frozen> {
  const { freeze, thaw, timeoutMs } = hooks;
  if (freeze === null && thaw === null) {
    await work();
    return { runs: [], held: false };
  }
  const id = `frozen:${randomUUID()}`;
  await catalog.commit((changes) => changes.put('facts', { id, value: JSON.stringify(subject) }));
  const runs: HookRun[] = [];
  let held = false;
  try {
    if (freeze !== null) {
      const run = await runHook('freeze', freeze, subject, timeoutMs, signal);
      runs.push(run);
      held = run.exit_status === 0;
    }
    signal.throwIfAborted();
    await work();
  } finally {
    // Without the signal of the job: a cancelled one has to thaw, too.
    if (thaw !== null) runs.push(await runHook('thaw', thaw, subject, timeoutMs));
    await catalog.commit((changes) => changes.remove('facts', id));
  }
  return { runs, held };
}

/** Thaws what a daemon that was killed had told to freeze. Gives a sentence for each. */
export async function thawAfterCrash(catalog: Catalog, { thaw, timeoutMs }: HookSettings): Promise<string[]> {
  const done: string[] = [];
  for (const { id, value } of Array.from(catalog.all('facts'))) {
    if (!noteId.test(id)) continue;
    const subject = JSON.parse(value) as HookSubject;
    const run = thaw === null ? undefined : await runHook('thaw', thaw, subject, timeoutMs);
    await catalog.commit((changes) => changes.remove('facts', id));
    const how = run === undefined ? 'there is no thaw_command' : `thaw_command ended with ${outcome(run)}`;
    done.push(`Volume "${subject.volume_name}" was being frozen when the daemon was stopped: ${how}`);
  }
  return done;
}

export const outcome = ({ exit_status, timed_out }: HookRun): string =>
  timed_out ? 'a time-out' : exit_status === null ? 'no exit status' : `status ${exit_status}`;

async function runHook(
  hook: HookRun['hook'],
  words: readonly string[],
  subject: HookSubject,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<HookRun> {
  const input = `${JSON.stringify({ hook, ...subject })}\n`;
  const options = { input, timeoutMs, ...(signal === undefined ? {} : { signal }) };
  const { exitStatus, timedOut, milliseconds } = await runProgram(words, options);
  return { hook, exit_status: exitStatus, timed_out: timedOut, milliseconds };
}
