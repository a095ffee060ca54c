/** Attachments across the end of one daemon and the start of the next.
 *
 *    close ─ what is there only while the daemon is, is detached ─▶ … ─▶ inherit ─ all is stale ─▶ settle ─ taken up, or detached
 *
 *  Promises: a hold of the operator, and of a job that goes on, outlives the daemon; what nobody holds is gone after the start, or
 *  stands in status error with what is left; one device that hangs holds up no other. */

import type { Logger } from 'pino';
import { toFault } from '../../base/faults.ts';
import type { KeyedTurns } from '../../base/turns.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import type { AttachmentUser } from '../../catalog/records.ts';
import { attachmentStatus } from '../../catalog/statuses.ts';
import { ended, type Work } from './work.ts';

export interface RestartParts {
  readonly catalog: Catalog;
  readonly log: Logger;
  readonly work: Work;
  readonly turns: KeyedTurns;
}

const all = ({ catalog }: RestartParts) => [...catalog.all('attachments')];

/** What a daemon that has ended left: first, before anything is acquired. `keeps`: whose hold outlives the daemon. Gives a sentence for
 *  each. */
export async function inherit(
  parts: RestartParts,
  keeps: (user: AttachmentUser) => boolean,
): Promise<string[]> {
  const done: string[] = [];
  for (const record of all(parts)) {
    const { status, url } = record;
    const users = status === 'error' ? [] : record.users.filter(keeps);
    const fault = record.fault ?? ended();
    await parts.work.put(
      status === 'error' ? { ...record, users } : attachmentStatus.move(record, 'stale', { users, fault }),
    );
    done.push(`Device "${url}" was ${status} when the daemon ended`);
  }
  return done;
}

/** Then, beside everything else: takes up what the operator holds, and detaches what nobody needs. */
export async function settle(parts: RestartParts): Promise<void> {
  const { log, turns } = parts;
  const settled = all(parts).map(({ id, key }) =>
    turns
      .run(key, () => settleOne(parts, id))
      .catch((thrown: unknown) => {
        const { code, message } = toFault(thrown);
        log.error({ attachment: id, code }, `${message}; basaltctl device list --stale shows it`);
      }),
  );
  await Promise.all(settled);
}

async function settleOne({ catalog, work }: RestartParts, id: string): Promise<void> {
  const record = catalog.get('attachments', id);
  if (record === undefined || record.status === 'attached') return;
  if (record.users.length === 0) return work.detach(record, () => undefined);
  // A job takes up by itself what it needs.
  if (!record.users.some(({ kind }) => kind === 'operator')) return;
  await work.takeUp(record).catch((thrown: unknown) => {
    if (toFault(thrown).code === 'WRONG_DEVICE') throw thrown;
    return work.replace(record);
  });
}

/** For the end of the daemon. What is there only while the daemon is, or is mounted, is detached; who wants it has it again after the
 *  next start. Devices of the kernel that are held stay. */
export function parkAll(parts: RestartParts): void {
  const { catalog, log, turns, work } = parts;
  for (const { id, key } of all(parts)) {
    const park = async () => {
      const record = catalog.get('attachments', id);
      if (record?.status === 'attached' && record.seen?.number === null) await work.park(record);
    };
    turns.run(key, park).catch((thrown: unknown) => {
      log.error({ attachment: id, why: toFault(thrown).message }, 'A device is left attached');
    });
  }
}
