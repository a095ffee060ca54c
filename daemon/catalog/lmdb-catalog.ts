/** The catalog in LMDB (npm `lmdb`). One writer, many readers; what is read is a snapshot of the moment.
 *
 *  Promises: `commit` resolves after the transaction was flushed to disk. Overlapping sync is off, because with it the
 *  library's own acknowledgement comes before the flush; `flushed` is awaited as well, so that a changed default of
 *  the library can't take the promise away. Orders of backups change in the same transaction as the records.
 *  Knows nothing of what records mean. */

import { type Key, open, type RootDatabase } from 'lmdb';
import { Fault } from '../base/faults.ts';
import { highest, lowest, nameKey, orderKeys } from './backup-order.ts';
import type { BackupOrders, Catalog, Changes, TableName, Tables } from './catalog.ts';
import type { BackupRecord } from './records.ts';

/** Address space, not memory: the file grows with what is in it. */
const mapBytes = 64 * 1024 ** 3;

type Database = RootDatabase<unknown, Key>;

/** Opens (and makes) the catalog at `path`. */
export function openLmdbCatalog(path: string): Catalog {
  const database: Database = open({
    path,
    noSubdir: true,
    mapSize: mapBytes,
    overlappingSync: false,
    commitDelay: 0,
  });
  const get = <T extends TableName>(table: T, id: string) =>
    database.get([table, id]) as Tables[T] | undefined;
  return {
    get,
    all: <T extends TableName>(table: T) => allOf<T>(database, table),
    count: (table) => database.getKeysCount({ start: [table, lowest], end: [table, highest] }),
    backups: backupOrders(database, (id) => get('backups', id)),
    commit: (change) => commit(database, change),
    close: () => database.close(),
  };
}

function* allOf<T extends TableName>(database: Database, table: T): Iterable<Tables[T]> {
  for (const { value } of database.getRange({ start: [table, lowest], end: [table, highest] })) {
    yield value as Tables[T];
  }
}

function backupOrders(database: Database, get: (id: string) => BackupRecord | undefined): BackupOrders {
  /** The records behind the keys that begin with `prefix`; the id is the last part of a key. */
  function* behind(
    prefix: readonly string[],
    reverse: boolean,
    after?: BackupRecord,
  ): Iterable<BackupRecord> {
    const [low, high]: [Key, Key] = [
      ['order', ...prefix, lowest],
      ['order', ...prefix, highest],
    ];
    const begin: Key =
      after === undefined ? (reverse ? high : low) : ['order', ...prefix, after.created_at, after.id];
    const range = { start: begin, end: reverse ? low : high, reverse };
    for (const key of database.getKeys(range)) {
      const id = Array.isArray(key) ? key.at(-1) : undefined;
      const record = typeof id === 'string' ? get(id) : undefined;
      if (record !== undefined && id !== after?.id) yield record;
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
    volumeIds: function* () {
      let after: string = lowest;
      for (;;) {
        // From one volume straight to the next, however many backups it has.
        const start: Key = ['order', 'volume', after, highest];
        const [key] = database.getKeys({ start, end: ['order', 'volume', highest, highest], limit: 1 });
        const id = Array.isArray(key) ? key[2] : undefined;
        if (typeof id !== 'string') return;
        yield id;
        after = id;
      }
    },
  };
}

async function commit(database: Database, change: (changes: Changes) => void): Promise<void> {
  const dropOrder = (id: string) => {
    const before = database.get(['backups', id]) as BackupRecord | undefined;
    if (before !== undefined) for (const key of orderKeys(before)) void database.remove([...key]);
  };
  try {
    await database.transaction(() => {
      change({
        put: (table, record) => {
          if (table === 'backups') {
            dropOrder(record.id);
            for (const key of orderKeys(record as BackupRecord)) void database.put([...key], null);
          }
          void database.put([table, record.id], record);
        },
        remove: (table, id) => {
          if (table === 'backups') dropOrder(id);
          void database.remove([table, id]);
        },
      });
    });
    await database.flushed; // W3
  } catch (thrown) {
    const message = `Cannot write to the catalog: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    throw new Fault('STORAGE_FAILED', message, { cause: thrown });
  }
}
