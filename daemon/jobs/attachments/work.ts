/** One attachment and its connector: runs the step, with its time limit, and keeps the record of how it stands.
 *  Promises: a step that fails leaves a record that says so; what a failed attach had begun is undone before it is told; a look never
 *  changes anything. Knows nothing of who uses a device; its caller sees to it that steps of one device follow one another. */

import type { Logger } from 'pino';
import type { Native } from '../../../native/native.ts';
import type { Clock } from '../../base/clock.ts';
import { Fault, toFault } from '../../base/faults.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import type { AttachmentRecord } from '../../catalog/records.ts';
import { attachmentStatus } from '../../catalog/statuses.ts';
import type {
  AttachPolicy,
  ConnectContext,
  DeviceProbe,
  Observation,
  SystemFolders,
} from '../../devices/connect/connector.ts';
import type { Connectors } from '../../devices/connect/connectors.ts';
import type { HostParts } from '../../devices/connect/host.ts';
import type { Tools } from '../../devices/connect/tools.ts';
import { attachFailed } from '../../devices/connect/trouble.ts';
import { folderOf, makeFolder, removeFolder } from './folder.ts';
import { Glances } from './glances.ts';
import { HostLocks } from './host-locks.ts';
import { grownOr, identityIn, requireSame, viewOf, withMissing } from './seen.ts';

export interface AttachmentParts {
  readonly catalog: Catalog;
  readonly connectors: Connectors;
  readonly clock: Clock;
  readonly log: Logger;
  readonly native: Pick<Native, 'tryLock'>;
  readonly probe: DeviceProbe;
  readonly tools: Tools;
  readonly folders: SystemFolders;
  readonly policy: AttachPolicy;
  /** Name, machine and addresses of this host. */
  readonly host: Pick<HostParts, 'name' | 'machine' | 'addresses'>;
  readonly stateDirectory: string;
  /** Where all agents of this host look for locks. */
  readonly lockDirectory: string;
}

export interface Found {
  readonly record: AttachmentRecord;
  readonly found: Observation;
}

type Note = (what: string) => void;
const silent: Note = () => undefined;

/** A look is answered at once, or something hangs. */
const lookLimitMs = 30_000;
/** What a connector may need to notice that its time is up. */
const lookGraceMs = 1_000;

export class Work {
  readonly #parts: AttachmentParts;
  readonly #locks: HostLocks;
  readonly notes = new Map<string, string>();

  constructor(parts: AttachmentParts) {
    this.#parts = parts;
    this.#locks = new HostLocks(parts.lockDirectory, parts.native);
  }

  now(): string {
    return new Date(this.#parts.clock.now()).toISOString();
  }

  async put(record: AttachmentRecord): Promise<AttachmentRecord> {
    const written = { ...record, updated_at: this.now() };
    await this.#parts.catalog.commit((changes) => changes.put('attachments', written));
    return written;
  }

  /** From a record in status attaching. */
  async attach(begun: AttachmentRecord, signal: AbortSignal, note: Note): Promise<Found> {
    const { connectors, policy } = this.#parts;
    const { kind, connection } = begun.connection;
    const connector = connectors.of(kind);
    await this.put(begun);
    const limit = AbortSignal.timeout(policy.timeoutMs);
    try {
      await makeFolder(folderOf(this.#parts.stateDirectory, begun.id));
      const context = this.#context(begun, AbortSignal.any([signal, limit]), note);
      const { built, ...found } = await connector.attach(connection, context);
      requireSame(begun.url, found.identity, found);
      const made = attachmentStatus.move(this.#latest(begun), 'attached', { built, seen: viewOf(found) });
      return { record: await this.put(made), found };
    } catch (thrown) {
      const fault = this.#failure(begun, thrown, { signal, limit });
      await this.detach(this.#latest(begun), silent).catch((left: unknown) =>
        this.#parts.log.error(
          { attachment: begun.id, why: toFault(left).message },
          'A failed attach left something',
        ),
      );
      throw fault;
    } finally {
      this.notes.delete(begun.id);
    }
  }

  /** Why an attach failed, with what it was waiting for last. */
  #failure(
    { id, url }: AttachmentRecord,
    thrown: unknown,
    { signal, limit }: { readonly signal: AbortSignal; readonly limit: AbortSignal },
  ): Fault {
    if (signal.aborted) return toFault(signal.reason);
    if (!limit.aborted || (thrown instanceof Fault && thrown.code !== 'TOOL_FAILED')) return toFault(thrown);
    const last = this.notes.get(id);
    const waited = last === undefined ? '' : `; its last step was: ${last}`;
    const seconds = this.#parts.policy.timeoutMs / 1000;
    return attachFailed(url, `it was not there within ${seconds} s${waited}`);
  }

  /** A record that says attached, or that an earlier daemon left, after a fresh look that shows the same device. */
  async takeUp(record: AttachmentRecord): Promise<Found> {
    const found = await this.observe(record);
    const seen = viewOf(found);
    const taken = attachmentStatus.move(record, 'attached', { seen, fault: null });
    return { record: await this.put(taken), found };
  }

  /** WRONG_DEVICE where it is not what was attached. */
  async observe(record: AttachmentRecord, limitMs = lookLimitMs): Promise<Observation> {
    const { connection, built, seen, url } = record;
    if (built === null || seen === null)
      throw new Fault('DEVICE_FAILED', `Cannot look at "${url}": it was never attached wholly`);
    const context = this.#context(record, AbortSignal.timeout(limitMs), silent);
    const connector = this.#parts.connectors.of(connection.kind);
    const looked = connector.observe(connection.connection, built, context).catch((thrown: unknown) => {
      throw context.signal.aborted && !(thrown instanceof Fault) ? noAnswer(url, limitMs) : thrown;
    });
    // A system call on a device whose paths are gone lets nobody go: its thread waits, and nobody else.
    const found = await within(looked, limitMs + lookGraceMs, () => noAnswer(url, limitMs));
    requireSame(url, identityIn(seen), found);
    return withMissing(found, seen);
  }

  /** Undefined where this kind of device can't be asked so cheaply. */
  glances(record: AttachmentRecord): Glances | undefined {
    const { connection, seen, url } = record;
    const connector = this.#parts.connectors.of(connection.kind);
    if (seen === null || connector.paths === undefined) return undefined;
    const paths = async () => {
      const now = this.#latest(record);
      const context = this.#context(now, AbortSignal.timeout(lookLimitMs), silent);
      if (now.built === null) return [];
      return (await connector.paths?.(connection.connection, now.built, context)) ?? [];
    };
    return new Glances({ url, wanted: identityIn(seen), paths });
  }

  async rescan(record: AttachmentRecord, signal: AbortSignal, note: Note): Promise<AttachmentRecord> {
    const { connection, built, seen, url } = record;
    if (built === null || seen === null)
      throw new Fault('DEVICE_FAILED', `Cannot rescan "${url}": it was never attached wholly`);
    const limit = AbortSignal.timeout(this.#parts.policy.timeoutMs);
    const context = this.#context(record, AbortSignal.any([signal, limit]), note);
    try {
      const connector = this.#parts.connectors.of(connection.kind);
      const { built: now, ...found } = await connector.rescan(connection.connection, built, context);
      // What was found belongs to the attachment, whatever it is: it has to be detached, too.
      await this.put({ ...this.#latest(record), built: now });
      requireSame(url, grownOr(seen), found);
      const scanned = { ...this.#latest(record), built: now, seen: viewOf(found), fault: null };
      return await this.put(attachmentStatus.move(scanned, 'attached'));
    } catch (thrown) {
      throw this.#failure(record, thrown, { signal, limit });
    } finally {
      this.notes.delete(record.id);
    }
  }

  /** Detaches it, and keeps the record of who wants it. DEVICE_LEFT, and the record in status error. */
  async park(record: AttachmentRecord): Promise<void> {
    const { users } = record;
    await this.#undo(await this.put(attachmentStatus.move(record, 'detaching')), silent);
    await this.put(
      attachmentStatus.move(this.#latest(record), 'stale', { users, built: null, fault: ended() }),
    );
  }

  /** Anew, under the same id and for the same users, what a takeUp has not found. Where that fails, too, the record says so. */
  async replace(record: AttachmentRecord): Promise<void> {
    const { users, seen, url } = record;
    await this.detach(record, silent);
    const begun: AttachmentRecord = {
      ...record,
      status: attachmentStatus.begin('attaching'),
      built: null,
      users,
      fault: null,
    };
    try {
      const made = await this.attach(begun, new AbortController().signal, silent);
      if (seen !== null) requireSame(url, identityIn(seen), made.found);
    } catch (thrown) {
      const known = this.#parts.catalog.get('attachments', record.id);
      if (known?.status === 'attached') await this.detach(known, silent);
      const { code, message, hint } = toFault(thrown);
      const fault = { code, message, hint, left: [] };
      if (known?.status !== 'error')
        await this.put(attachmentStatus.move(await this.put(begun), 'stale', { users, fault }));
      throw thrown;
    }
  }

  /** Until no record is left of it. DEVICE_LEFT, and the record in status error. */
  async detach(record: AttachmentRecord, note: Note): Promise<void> {
    const going = await this.put(attachmentStatus.move(record, 'detaching', { users: [] }));
    await this.#undo(going, note);
    await this.#parts.catalog.commit((changes) => changes.remove('attachments', going.id));
  }

  async #undo(going: AttachmentRecord, note: Note): Promise<void> {
    const { connectors, policy, stateDirectory } = this.#parts;
    const { kind, connection } = going.connection;
    try {
      const context = this.#context(going, AbortSignal.timeout(policy.timeoutMs), note);
      if (going.built !== null) await connectors.of(kind).detach(connection, going.built, context);
      await removeFolder(folderOf(stateDirectory, going.id));
    } catch (thrown) {
      const { code, message, hint, details } = toFault(thrown);
      const left = Array.isArray(details?.['left']) ? details['left'].map(String) : [];
      const fault = { code, message, hint, left };
      await this.put(attachmentStatus.move(this.#latest(going), 'error', { users: [], fault }));
      throw thrown;
    } finally {
      this.notes.delete(going.id);
    }
  }

  /** With what was journaled meanwhile. */
  #latest(record: AttachmentRecord): AttachmentRecord {
    return this.#parts.catalog.get('attachments', record.id) ?? record;
  }

  /** For looks at the host as a whole: without a record, and so without a journal. */
  hostContext(id: string, limitMs: number): ConnectContext {
    const journal = () => Promise.reject(new Error('what has no record makes nothing'));
    return this.#contextOf({ id, access: 'read' }, AbortSignal.timeout(limitMs), silent, journal);
  }

  #context(record: AttachmentRecord, signal: AbortSignal, note: Note): ConnectContext {
    return this.#contextOf(record, signal, note, async (built) => {
      await this.put({ ...this.#latest(record), built });
    });
  }

  #contextOf(
    { id, access }: Pick<AttachmentRecord, 'id' | 'access'>,
    signal: AbortSignal,
    note: Note,
    journal: ConnectContext['journal'],
  ): ConnectContext {
    const { tools, folders, policy, probe, stateDirectory } = this.#parts;
    return {
      tools,
      folders,
      policy,
      probe,
      signal,
      access,
      id,
      folder: folderOf(stateDirectory, id),
      journal,
      others: (kind) =>
        [...this.#parts.catalog.all('attachments')].flatMap(({ id: other, connection, built }) =>
          other !== id && connection.kind === kind && built !== null ? [built] : [],
        ),
      note: (what) => {
        this.notes.set(id, what);
        note(what);
      },
      alone: (key, task) => this.#locks.alone(key, signal, task),
    };
  }
}

const noAnswer = (url: string, limitMs: number): Fault =>
  new Fault('DEVICE_FAILED', `Cannot look at "${url}": it did not answer within ${limitMs / 1000} s`);

/** Why a record is stale that nothing is wrong with. */
export const ended = () => {
  const { code, message, hint } = new Fault('INTERRUPTED', 'The daemon that attached it has ended');
  return { code, message, hint, left: [] };
};

function within<T>(task: Promise<T>, limitMs: number, late: () => Fault): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), limitMs);
    task.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
