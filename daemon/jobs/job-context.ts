/** What a running job sees of itself: each call changes its live state, and what must outlive the daemon is committed.
 *  Promises: what a run that was left behind has to say changes nothing any more. */

import type { Logger } from 'pino';
import type { Catalog, Changes } from '../catalog/catalog.ts';
import type { JobContext } from './job-order.ts';
import type { Live } from './live.ts';

interface ContextParts {
  readonly catalog: Catalog;
  readonly log: Logger;
}

/** `alive`: told at every sign of life. */
export function contextOf(live: Live, parts: ContextParts, alive: () => void): JobContext {
  const { catalog } = parts;
  /** What a run that was left behind has to say is of no interest any more. */
  const record = async (more: (changes: Changes) => void = () => undefined) => {
    const now = live.record;
    if (live.left) return;
    await catalog.commit((changes) => {
      changes.put('jobs', now);
      more(changes);
    });
  };
  return {
    id: live.record.id,
    project: live.record.project_id,
    signal: live.controller.signal,
    rate: live.rate,
    resumed: live.record.history.some(({ event }) => event === 'interrupted'),
    checkpoint: live.checkpoint,
    temporaryPath: live.record.temporary_path,
    progress: (done) => {
      alive();
      live.advance(done);
    },
    waitFor: (what) => {
      alive();
      live.wait(what);
    },
    doing: (phase) => {
      alive();
      live.doing(phase);
    },
    started: () => {
      live.wait(null);
      return record();
    },
    saveCheckpoint: (checkpoint) => {
      alive();
      live.checkpoint = checkpoint;
      const { bytesDone, bytesTotal } = live;
      live.record = { ...live.record, bytes_done: bytesDone, bytes_total: bytesTotal };
      return record((changes) => changes.put('checkpoints', { ...checkpoint, id: live.record.id }));
    },
    note: (event, detail) => live.note(event, detail),
    account: (account) => {
      live.account = account;
    },
    journalTemporary: (path, more) => {
      const { temporary_path: before } = live.record;
      live.record = { ...live.record, temporary_path: path };
      return record(more).catch((thrown: unknown) => {
        // What nobody else has recorded is still this job's to remove.
        live.record = { ...live.record, temporary_path: path ?? before };
        throw thrown;
      });
    },
    log: (what) => parts.log.info({ job: live.record.id }, what),
    commit: () => live.commit(),
  };
}
