/** All devices that this daemon has attached: shared by those who need the same one, and gone when nobody does.
 *
 *    acquire ─(record flushed)▶ attaching ─(each step journaled)▶ attached ─▶ holds … ─last one released▶ detaching ─▶ no record
 *                                                                    ▲                                       │
 *              a later daemon: stale ─ taken up, or detached ────────┴───────── error: something is left ◀───┘
 *
 *  Promises: what is about to be made is in the catalog before its first command, and stays there until it was seen to be gone;
 *  whatever happens to one device happens one after the other; nobody gets a device that is not the one he asked for.
 *  Knows nothing of volumes, backups or protocols. */

import { randomUUID } from 'node:crypto';
import { unlessAborted } from '../../base/abort.ts';
import { Fault, toFault } from '../../base/faults.ts';
import { KeyedTurns } from '../../base/turns.ts';
import type {
  AttachmentRecord,
  AttachmentUser,
  AttachmentView,
  StoredIdentity,
} from '../../catalog/records.ts';
import { attachmentStatus } from '../../catalog/statuses.ts';
import type { Observation } from '../../devices/connect/connector.ts';
import type { RemoteLocation } from '../../devices/connect/connectors.ts';
import { describeHost, type HostConnector, type HostWish } from '../../devices/connect/host.ts';
import {
  attachDenied,
  attachFailed,
  deviceBusy,
  deviceHeld,
  deviceLeft,
  deviceUnknown,
} from '../../devices/connect/trouble.ts';
import type { Glances } from './glances.ts';
import { inherit, parkAll, type RestartParts, settle } from './restart.ts';
import { numbersIn, requireSame, viewOf } from './seen.ts';
import { clearStray, findStrays, type Stray, type StrayParts } from './strays.ts';
import { type AttachmentParts, Work } from './work.ts';

export interface AcquireOrder {
  readonly location: RemoteLocation;
  readonly user: AttachmentUser;
  readonly access: 'read' | 'write';
  /** What it has to be; null: whatever is there. */
  readonly wanted: StoredIdentity | null;
  readonly signal: AbortSignal;
  /** Told what is waited for. */
  readonly note: (what: string) => void;
}

export interface Hold {
  readonly id: string;
  readonly url: string;
  /** As it was when the hold was given. */
  readonly found: Observation;
  /** Looks at every path anew. WRONG_DEVICE, DEVICE_FAILED. `number`: of what is open; it has to be this device. */
  verify(number?: string): Promise<Observation>;
  /** Asks the paths alone who they are; undefined where only `verify` can tell. */
  readonly glances: Glances | undefined;
  /** Lets it go, and resolves when it is gone, or still used by others; never rejects: what is left stands in the record. */
  release(): Promise<void>;
  /** Leaves it attached in the name of its user, for the next daemon. */
  keep(): void;
}

const isUser = (one: AttachmentUser, other: AttachmentUser): boolean =>
  one.kind === other.kind && one.id === other.id;

export const userText = ({ kind, id }: AttachmentUser): string =>
  kind === 'operator' ? 'the operator (device attach)' : `job "${id}"`;

export class Attachments {
  readonly #parts: AttachmentParts;
  readonly #work: Work;
  readonly #turns = new KeyedTurns();
  /** Users of this daemon, as "attachment job". */
  readonly #live = new Set<string>();

  constructor(parts: AttachmentParts) {
    this.#parts = parts;
    this.#work = new Work(parts);
  }

  keyOf({ connector, connection }: Pick<RemoteLocation, 'connector' | 'connection'>): string {
    return `${connector.kind} ${connector.key(connection)}`;
  }

  list(): AttachmentRecord[] {
    const all = [...this.#parts.catalog.all('attachments')];
    return all.sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
  }

  /** What is waited for at the moment. */
  noteOf(id: string): string | null {
    return this.#work.notes.get(id) ?? null;
  }

  withKey(key: string): AttachmentRecord | undefined {
    return this.list().find((record) => record.key === key);
  }

  get(id: string): AttachmentRecord {
    const record = this.#parts.catalog.get('attachments', id);
    if (record === undefined) throw deviceUnknown(id);
    return record;
  }

  /** The device, attached now or before. Called off, it rejects at once, and what was begun is undone behind it. */
  async acquire(order: AcquireOrder): Promise<Hold> {
    const key = this.keyOf(order.location);
    const made = this.#turns.run(key, async () => {
      order.signal.throwIfAborted();
      return this.#take(key, order);
    });
    const hold = await unlessAborted(made, order.signal);
    if (hold !== undefined) return hold;
    // Nobody is there any more to let it go.
    void made.then((late) => late.release()).catch(() => undefined);
    throw toFault(order.signal.reason);
  }

  /** From now on the operator holds it, too. */
  async holdForOperator({ id }: Hold): Promise<void> {
    await this.#turns.run(this.get(id).key, async () => {
      const record = this.get(id);
      const operator = { kind: 'operator', id: '' } as const;
      const users = [...record.users.filter((one) => !isUser(one, operator)), operator];
      await this.#work.put({ ...record, users });
    });
  }

  /** Takes the operator's hold away, and detaches. DEVICE_BUSY while jobs use it. `force`: also what is in status error. */
  async detach(id: string, force: boolean, note: (what: string) => void): Promise<AttachmentRecord> {
    return this.#turns.run(this.get(id).key, async () => {
      const record = this.get(id);
      const others = record.users.filter(({ kind }) => kind !== 'operator');
      if (others.length > 0) throw deviceBusy(record.url, others.map(userText));
      if (record.status === 'error' && !force) {
        throw deviceLeft(
          record.url,
          record.fault?.left ?? [],
          'an earlier attempt failed, and left something',
        );
      }
      await this.#work.put({ ...record, users: [] });
      await this.#work.detach(this.get(id), note);
      return record;
    });
  }

  /** Looks for new, lost, returned and grown paths. */
  async rescan(id: string, signal: AbortSignal, note: (what: string) => void): Promise<AttachmentRecord> {
    const scan = async () => {
      const record = this.get(id);
      if (record.status !== 'attached' && record.status !== 'stale') throw notAttached(record);
      return this.#work.rescan(record, signal, note);
    };
    return this.#turns.run(this.get(id).key, scan, signal);
  }

  /** The device as it is now; undefined where it is not attached. */
  async look(id: string, limitMs: number): Promise<AttachmentView | undefined> {
    const record = this.get(id);
    return record.status === 'attached' ? viewOf(await this.#work.observe(record, limitMs)) : undefined;
  }

  /** What this host says of itself to storages. */
  describeHost(given: HostWish): Promise<HostConnector> {
    const { folders, policy, host } = this.#parts;
    return describeHost({ folders, policy, ...host }, given);
  }

  /** What is left without a record. */
  strays(limitMs: number): Promise<Stray[]> {
    return findStrays(this.#strayParts, limitMs);
  }

  clearStray(id: string): Promise<Stray> {
    return clearStray(this.#strayParts, id, this.#parts.policy.timeoutMs);
  }

  get #strayParts(): StrayParts {
    const context = (id: string, limitMs: number) => this.#work.hostContext(id, limitMs);
    return { connectors: this.#parts.connectors, records: () => this.list(), context };
  }

  /** A job has ended: where it never took up what an earlier run had attached, nobody else lets that go. */
  async forgetUser(user: AttachmentUser): Promise<void> {
    for (const { id, key, users } of this.list()) {
      if (!users.some((one) => isUser(one, user)) || this.#live.has(`${id} ${user.id}`)) continue;
      await this.#turns.run(key, () => this.#drop(id, user));
    }
  }

  /** What a daemon that has ended left: first, before anything is acquired. `keeps`: whose hold outlives the daemon. */
  inherit(keeps: (user: AttachmentUser) => boolean): Promise<string[]> {
    return inherit(this.#restart, keeps);
  }

  /** Then, beside everything else: takes up what the operator holds, and detaches what nobody needs. */
  settle(): Promise<void> {
    return settle(this.#restart);
  }

  /** For the end of the daemon. */
  async close(patienceMs: number): Promise<void> {
    parkAll(this.#restart);
    await this.quiet(patienceMs);
  }

  /** Resolves when nothing is attached or detached any more, or after a while. */
  async quiet(patienceMs: number): Promise<void> {
    const patience = new Promise((resolve) => setTimeout(resolve, patienceMs).unref());
    await Promise.race([this.#turns.settled(), patience]);
  }

  get #restart(): RestartParts {
    const { catalog, log } = this.#parts;
    return { catalog, log, work: this.#work, turns: this.#turns };
  }

  async #take(key: string, order: AcquireOrder): Promise<Hold> {
    const { location, user, access, wanted } = order;
    const known = this.withKey(key);
    const usable = known === undefined ? undefined : await this.#usable(known, order);
    const { record, found } = usable ?? (await this.#attach(key, order));
    try {
      if (wanted !== null) requireSame(location.url, wanted, found);
      const users = [...record.users.filter((one) => !isUser(one, user)), user];
      await this.#work.put({ ...record, users, access: record.access === 'write' ? 'write' : access });
      return this.#hold(record.id, location.url, user, found);
    } catch (thrown) {
      if (usable === undefined) await this.#drop(record.id, user);
      throw thrown;
    }
  }

  /** What is attached already, or left by an earlier daemon; undefined: nothing, by now. */
  async #usable(record: AttachmentRecord, order: AcquireOrder) {
    const others = record.users.filter((one) => !isUser(one, order.user));
    const { connector, connection } = order.location;
    const admitted = connector.admits?.(record.connection.connection, connection) !== false;
    if (!admitted && record.users.length > 0)
      throw attachDenied(record.url, 'it is attached with another user name or secret');
    // What was frozen for another one is old by now, and would be taken for the device as it is.
    const old = record.access === 'read' && connector.frozen?.(connection) === true;
    const mayShare = admitted && (record.access === 'write' || order.access === 'read') && !old;
    if (!mayShare && others.length > 0) {
      const how = order.access === 'write' ? 'to be read' : 'as it was at an earlier moment';
      throw deviceHeld(record.url, how, others.map(userText));
    }
    if (mayShare && (record.status === 'attached' || record.status === 'stale')) {
      try {
        return await this.#work.takeUp(record);
      } catch (thrown) {
        // Whoever uses it has to find out by himself what became of it.
        if (others.length > 0) throw thrown;
        this.#parts.log.warn({ attachment: record.id, why: toFault(thrown).message }, 'Attaching it anew');
      }
    }
    await this.#work.detach(record, order.note);
    return undefined;
  }

  async #attach(key: string, order: AcquireOrder) {
    const { connector, connection, readOnly, url } = order.location;
    const now = this.#work.now();
    const record: AttachmentRecord = {
      id: randomUUID(),
      status: attachmentStatus.begin('attaching'),
      connection: { kind: connector.kind, connection, read_only: readOnly },
      key,
      url,
      access: order.access,
      built: null,
      users: [order.user],
      seen: null,
      created_at: now,
      updated_at: now,
      fault: null,
    };
    return this.#work.attach(record, order.signal, order.note);
  }

  #hold(id: string, url: string, user: AttachmentUser, found: Observation): Hold {
    const record = this.get(id);
    const { key } = record;
    const live = `${id} ${user.id}`;
    this.#live.add(live);
    let held = true;
    return {
      id,
      url,
      found,
      verify: async (number) => {
        const now = await this.#work.observe(this.get(id));
        if (number !== undefined && !numbersIn(viewOf(now)).includes(number))
          throw attachFailed(url, `what is open as ${number} is not it any more: it is ${now.device} now`);
        return now;
      },
      glances: this.#work.glances(record),
      release: async () => {
        if (!held) return;
        held = false;
        this.#live.delete(live);
        await this.#turns
          .run(key, () => this.#drop(id, user))
          .catch((thrown: unknown) =>
            this.#parts.log.error(
              { attachment: id, err: thrown },
              'Cannot record that a device is not used any more',
            ),
          );
      },
      keep: () => {
        held = false;
        this.#live.delete(live);
      },
    };
  }

  /** Within its turn. What can't be detached stands in the record, and in the log. */
  async #drop(id: string, user: AttachmentUser): Promise<void> {
    const record = this.#parts.catalog.get('attachments', id);
    if (record === undefined) return;
    const users = record.users.filter((one) => !isUser(one, user));
    const left = { ...record, users };
    await this.#work.put(left);
    if (users.length > 0) return;
    await this.#work
      .detach(left, () => undefined)
      .catch((thrown: unknown) => {
        const { code, message } = toFault(thrown);
        this.#parts.log.error({ attachment: id, code }, `${message}; basaltctl device list --stale shows it`);
      });
  }
}

const notAttached = ({ url, status }: AttachmentRecord): Fault =>
  new Fault('DEVICE_FAILED', `Cannot look at "${url}" anew: it is in status "${status}"`, {
    hint: 'Detach it first: basaltctl device detach --force',
  });
