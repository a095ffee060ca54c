/** The catalog in LMDB (npm `lmdb`). One writer, many readers; what is read is a snapshot of the moment.
 *
 *  Promises: `commit` resolves after the transaction was flushed to disk. Overlapping sync is off, because with it the
 *  library's own acknowledgement comes before the flush; `flushed` is awaited as well, so that a changed default of
 *  the library can't take the promise away. Orders of backups change in the same transaction as the records.
 *  Knows nothing of what records mean. */

import { chmod, open as openFile } from 'node:fs/promises';
import { type Key, open, type RootDatabase, type Database as Table } from 'lmdb';
import { AssertionFailure, assert } from '../base/assert.ts';
import { Fault } from '../base/faults.ts';
import type { Machine } from '../base/machine.ts';
import { highest, lowest, nameKey, orderKeys } from './backup-order.ts';
import type { BackupOrders, Catalog, Changes, TableName, Tables } from './catalog.ts';
import { type BackupRecord, lacking } from './records.ts';
import { attachmentStatus, backupStatus, jobStatus, snapshotStatus, volumeStatus } from './statuses.ts';
import { counted, minus, noUsage, plus, type Usage } from './usage.ts';

/** Address space, not memory: the file grows with what is in it. */
const mapBytes = 64 * 1024 ** 3;

interface Database {
  readonly root: RootDatabase;
  readonly tables: { readonly [T in TableName]: Table<Tables[T], string> };
  /** Grows by each commit that touches a backup. */
  generation: number;
  /** Keys of `backup-order.ts`; what they lead to is the id at their end. */
  readonly orders: Table<null>;
  /** Usage by project, under `usageKey`; `usageBuilt` says that it is there. */
  readonly usage: Table<Usage, string>;
}

const usageKey = (project: string): string => `project ${project}`;
const usageBuilt = 'built';

/** Where the mark of a data file is in its first page. Source: MDB_meta behind the page header of the library's LMDB. */
const markOffset = 24;
const mark = 0xbeefc0de;

/** STATE_DAMAGED where the file at `path` is no catalog any more: LMDB would crash on it. No file is fine. */
export async function requireCatalogFile(path: string): Promise<void> {
  const file = await openFile(path, 'r').catch(() => undefined);
  if (file === undefined) return;
  const page = Buffer.alloc(markOffset + 4);
  const { bytesRead } = await file.read(page, 0, page.length, 0);
  await file.close();
  if (bytesRead === 0 || (bytesRead === page.length && page.readUInt32LE(markOffset) === mark)) return;
  throw new Fault('STATE_DAMAGED', `Cannot open the catalog "${path}": it is damaged`);
}

/** Opens (and makes) the catalog at `path`. */
export function openLmdbCatalog(path: string): Catalog {
  const root = open({
    path,
    noSubdir: true,
    mapSize: mapBytes,
    maxDbs: 32,
    overlappingSync: false,
    commitDelay: 0,
  });
  const database: Database = {
    root,
    tables: {
      volumes: root.openDB({ name: 'volumes' }),
      snapshots: root.openDB({ name: 'snapshots' }),
      backups: root.openDB({ name: 'backups' }),
      jobs: root.openDB({ name: 'jobs' }),
      mounts: root.openDB({ name: 'mounts' }),
      attachments: root.openDB({ name: 'attachments' }),
      facts: root.openDB({ name: 'facts' }),
      quotas: root.openDB({ name: 'quotas' }),
      repositories: root.openDB({ name: 'repositories' }),
      checkpoints: root.openDB({ name: 'checkpoints' }),
    },
    generation: 0,
    orders: root.openDB({ name: 'orders' }),
    usage: root.openDB({ name: 'usage' }),
  };
  const built = buildUsage(database);
  const table = <T extends TableName>(name: T) =>
    database.tables[name] as unknown as Table<Tables[T], string>;
  return {
    get: (name, id) => whole(name, table(name).get(id)),
    all: function* (name) {
      for (const { value } of table(name).getRange({})) yield whole(name, value);
    },
    count: (name) => (table(name).getStats() as { entryCount: number }).entryCount,
    backups: backupOrders(database),
    usage: (project) => database.usage.get(usageKey(project)) ?? noUsage,
    ready: async () => {
      // Connections hold secrets. The library has no option for it.
      for (const file of [path, `${path}-lock`]) await chmod(file, 0o600);
      await built;
    },
    commit: (change) => commit(database, change),
    close: () => root.close(),
  };
}

/** Counts what a catalog of an earlier version did not: once in the life of a catalog. Later commits queue up behind it. */
async function buildUsage({ root, tables, usage }: Database): Promise<void> {
  if (usage.get(usageBuilt) !== undefined) return;
  await root.transaction(() => {
    const sums = new Map<string, Usage>();
    for (const { value } of tables.backups.getRange({})) {
      sums.set(value.project_id, plus(sums.get(value.project_id) ?? noUsage, counted(value)));
    }
    for (const [project, sum] of sums) void usage.put(usageKey(project), sum);
    void usage.put(usageBuilt, noUsage);
  });
}

/** A record with every field, also where an earlier version wrote it. */
function whole<R>(name: TableName, record: R): R {
  if (record === undefined || (name !== 'backups' && name !== 'volumes' && name !== 'mounts')) return record;
  return { ...lacking[name], ...record };
}

function backupOrders(database: Database): BackupOrders {
  const { orders, tables } = database;
  /** The records behind the keys that begin with `prefix`; the id is the last part of a key. */
  function* behind(
    prefix: readonly string[],
    reverse: boolean,
    after?: BackupRecord,
  ): Iterable<BackupRecord> {
    const [low, high]: [Key, Key] = [
      [...prefix, lowest],
      [...prefix, highest],
    ];
    const first = reverse ? high : low;
    const begin: Key = after === undefined ? first : [...prefix, after.created_at, after.id];
    for (const record of between(begin, reverse ? low : high, reverse))
      if (record.id !== after?.id) yield record;
  }
  function* between(start: Key, end: Key, reverse: boolean): Iterable<BackupRecord> {
    for (const key of orders.getKeys({ start, end, reverse })) {
      const id = Array.isArray(key) ? key.at(-1) : undefined;
      const record = typeof id === 'string' ? tables.backups.get(id) : undefined;
      if (record !== undefined) yield whole('backups', record);
    }
  }
  return {
    newestFirst: (after) => behind(['made'], true, after),
    oldestFirst: (after) => behind(['made'], false, after),
    ofVolume: (volumeId) => behind(['volume', volumeId], true),
    named: function* (name) {
      for (const record of behind(['name', nameKey(name)], false)) if (record.name === name) yield record;
    },
    unsettled: () => behind(['unsettled'], false),
    made: (beginning, volumeId) => {
      const prefix = volumeId === undefined ? ['made'] : ['volume', volumeId];
      return between([...prefix, beginning, lowest], [...prefix, `${beginning}${highest}`, lowest], false);
    },
    generation: () => database.generation,
    volumeIds: function* () {
      let after: string = lowest;
      for (;;) {
        // From one volume straight to the next, however many backups it has.
        const [key] = orders.getKeys({
          start: ['volume', after, highest],
          end: ['volume', highest, highest],
          limit: 1,
        });
        const id = Array.isArray(key) ? key[1] : undefined;
        if (typeof id !== 'string') return;
        yield id;
        after = id;
      }
    },
  };
}

/** The tables whose records have a status. */
const machines: Partial<Record<TableName, Machine<string>>> = {
  backups: backupStatus,
  volumes: volumeStatus,
  snapshots: snapshotStatus,
  jobs: jobStatus,
  attachments: attachmentStatus,
};

function holdToMachine(table: TableName, before: object | undefined, now: object): void {
  const rules = machines[table];
  if (rules === undefined) return;
  const [from, to] = [statusIn(before), statusIn(now)];
  if (before === undefined) assert(rules.mayBegin(to), `a ${rules.what} may begin as ${to}`);
  else assert(rules.mayBecome(from, to), `a ${rules.what} that is ${from} may become ${to}`);
}

const statusIn = (record: object | undefined): string =>
  record !== undefined && 'status' in record ? String(record.status) : '';

async function commit(database: Database, change: (changes: Changes) => void): Promise<void> {
  const { root, tables, orders, usage } = database;
  let touched = false;
  const account = (backup: BackupRecord, combine: typeof plus) => {
    const key = usageKey(backup.project_id);
    void usage.put(key, combine(usage.get(key) ?? noUsage, counted(backup)));
  };
  const order = (before: BackupRecord | undefined, now: BackupRecord | undefined) => {
    touched = true;
    if (before !== undefined) {
      for (const key of orderKeys(before)) void orders.remove([...key]);
      account(before, minus);
    }
    if (now === undefined) return;
    for (const key of orderKeys(now)) void orders.put([...key], null);
    account(now, plus);
  };
  try {
    // A child transaction: what a change has put before it throws is not kept.
    await root.childTransaction(() => {
      change({
        put: (name, record) => {
          holdToMachine(name, tables[name].get(record.id), record);
          if (name === 'backups') order(tables.backups.get(record.id), record as BackupRecord);
          void (tables[name] as unknown as Table<unknown, string>).put(record.id, record);
        },
        remove: (name, id) => {
          if (name === 'backups') order(tables.backups.get(id), undefined);
          void tables[name].remove(id);
        },
      });
    });
    if (touched) database.generation += 1;
    await root.flushed; // W3
  } catch (thrown) {
    // What a change refuses by itself is not the storage's fault.
    if (thrown instanceof Fault || thrown instanceof AssertionFailure) throw thrown;
    const message = `Cannot write to the catalog: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    throw new Fault('STORAGE_FAILED', message, { cause: thrown });
  }
}
