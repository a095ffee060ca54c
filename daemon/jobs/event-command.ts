/** The operator's own command, run once for each event, with the event as JSON on its standard input.
 *
 *    event ─▶ bounded queue ─(one at a time, in order)▶ program
 *                  ▲───────(an end that failed)───────────┘
 *
 *  Promises: no job waits for it; a command that hangs is killed, with what it began, when its time is over; the queue is bounded:
 *  where it is full, progress goes first, then starts, then the oldest ends, and the log says so; no shell.
 *  Knows nothing of jobs. */

import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import { eventQueueMax } from '../base/limits.ts';
import { runProgram } from '../base/program.ts';
import type { BackupEvent } from './events.ts';

export interface EventCommandParts {
  /** The program and its arguments; null: none. */
  readonly words: readonly string[] | null;
  readonly timeoutMs: number;
  readonly log: Logger;
  /** How often an end is tried, and how long after its first failure; each further rest is twice as long. */
  readonly triesMax: number;
  readonly restMs: number;
}

interface Entry {
  readonly event: BackupEvent;
  readonly tries: number;
  /** When it may run, on the clock of `performance`. */
  readonly dueMs: number;
}

export class EventCommand {
  readonly #parts: EventCommandParts;
  readonly #queue: Entry[] = [];
  #dropped = 0;
  #running: Promise<void> | undefined;
  #abort = new AbortController();

  constructor(parts: EventCommandParts) {
    this.#parts = parts;
  }

  push(event: BackupEvent): void {
    if (this.#parts.words === null || this.#abort.signal.aborted) return;
    // What is told later of the same job makes its progress old.
    const old = this.#queue.findIndex(
      ({ event: other }) => other.job_id === event.job_id && other.event.endsWith('.progress'),
    );
    if (old >= 0) this.#queue.splice(old, 1);
    this.#queue.push({ event, tries: 0, dueMs: 0 });
    if (this.#queue.length > eventQueueMax) this.#drop();
    this.#running ??= this.#work(this.#parts.words);
  }

  /** Lets the commands of events that wait run for at most `graceMs`, then kills and drops. */
  async stop(graceMs: number): Promise<void> {
    const grace = setTimeout(() => this.#abort.abort(), graceMs);
    await this.#running;
    clearTimeout(grace);
    this.#abort.abort();
  }

  #drop(): void {
    const places = ['.progress', '.start', '.end'].map((step) =>
      this.#queue.findIndex(({ event }) => event.event.endsWith(step)),
    );
    const [dropped] = this.#queue.splice(places.find((place) => place >= 0) ?? 0, 1);
    // Said once for each time that it is full, or a hanging command would flood the log.
    if (this.#dropped === 0)
      this.#parts.log.warn({ event: dropped?.event.event }, 'The event command is too slow: dropping events');
    this.#dropped += 1;
  }

  async #work(words: readonly string[]): Promise<void> {
    const { signal } = this.#abort;
    while (this.#queue.length > 0 && !signal.aborted) {
      const entry = await this.#nextDue();
      if (entry === undefined) continue;
      const complaint = await runOnce(words, entry.event, this.#parts.timeoutMs, signal);
      if (complaint !== undefined) this.#failed(entry, complaint);
      if (this.#queue.length === 0) this.#tellDropped();
    }
    if (this.#queue.length > 0)
      this.#parts.log.warn({ events: this.#queue.length }, 'Stopped before the event command had them all');
    this.#running = undefined;
  }

  /** The first that may run now; undefined after a rest until one may. */
  async #nextDue(): Promise<Entry | undefined> {
    const nowMs = performance.now();
    const place = this.#queue.findIndex(({ dueMs }) => dueMs <= nowMs);
    if (place >= 0) return this.#queue.splice(place, 1)[0];
    const restMs = Math.min(...this.#queue.map(({ dueMs }) => dueMs)) - nowMs;
    await wait(restMs, undefined, { signal: this.#abort.signal }).catch(() => undefined);
    return undefined;
  }

  /** An end is tried again later: somebody may act on it, and nothing comes after it that says the same. */
  #failed({ event, tries }: Entry, complaint: string): void {
    const { triesMax, restMs, log } = this.#parts;
    const { event: name, job_id: job } = event;
    const again = name.endsWith('.end') && tries + 1 < triesMax;
    log.warn({ event: name, job, complaint, again }, 'The event command failed');
    if (again) this.#queue.push({ event, tries: tries + 1, dueMs: performance.now() + restMs * 2 ** tries });
  }

  #tellDropped(): void {
    if (this.#dropped > 0)
      this.#parts.log.warn({ events: this.#dropped }, 'The event command has caught up; it missed events');
    this.#dropped = 0;
  }
}

/** Why it failed, or undefined. */
async function runOnce(
  words: readonly string[],
  event: BackupEvent,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const input = `${JSON.stringify(event)}\n`;
  const { exitStatus, timedOut } = await runProgram(words, { input, timeoutMs, signal });
  if (timedOut) return `it ran longer than ${timeoutMs / 1000} s and was killed`;
  if (exitStatus === null) return signal.aborted ? 'the daemon stops' : 'it was killed, or could not be run';
  return exitStatus === 0 ? undefined : `it ended with status ${exitStatus}`;
}
