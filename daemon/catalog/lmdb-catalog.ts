/** The catalog in LMDB (npm `lmdb`). One writer, many readers; what is read is a snapshot of the moment.
 *
 *  Promises: `commit` resolves after the transaction was flushed to disk. Overlapping sync is off, because with it the
 *  library's own acknowledgement comes before the flush; `flushed` is awaited as well, so that a changed default of
 *  the library can't take the promise away. Knows nothing of what records mean. */

import { open, type RootDatabase } from 'lmdb';
import { Fault } from '../base/faults.ts';
import type { Catalog, Changes, TableName, Tables } from './catalog.ts';

/** Address space, not memory: the file grows with what is in it. */
const mapBytes = 64 * 1024 ** 3;

type Key = [TableName, string];

/** Opens (and makes) the catalog at `path`. */
export function openLmdbCatalog(path: string): Catalog {
  const database: RootDatabase<unknown, Key> = open({
    path,
    noSubdir: true,
    mapSize: mapBytes,
    overlappingSync: false,
    commitDelay: 0,
  });
  return {
    get: <T extends TableName>(table: T, id: string) => database.get([table, id]) as Tables[T] | undefined,
    all: <T extends TableName>(table: T) => allOf<T>(database, table),
    count: (table) => database.getKeysCount({ start: [table, ''], end: [table, '\uffff'] }),
    commit: (change) => commit(database, change),
    close: () => database.close(),
  };
}

function* allOf<T extends TableName>(database: RootDatabase<unknown, Key>, table: T): Iterable<Tables[T]> {
  for (const { value } of database.getRange({ start: [table, ''], end: [table, '\uffff'] }))
    yield value as Tables[T];
}

async function commit(
  database: RootDatabase<unknown, Key>,
  change: (changes: Changes) => void,
): Promise<void> {
  try {
    await database.transaction(() => {
      change({
        put: (table, record) => void database.put([table, record.id], record),
        remove: (table, id) => void database.remove([table, id]),
      });
    });
    await database.flushed; // W3
  } catch (thrown) {
    const message = `Cannot write to the catalog: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    throw new Fault('STORAGE_FAILED', message, { cause: thrown });
  }
}
