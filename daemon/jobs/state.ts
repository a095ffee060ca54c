/** The state folder of a daemon: its lock, and the id by which repositories know this host. */

import { randomUUID } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Native } from '../../native/native.ts';
import { Fault } from '../base/faults.ts';
import type { Catalog } from '../catalog/catalog.ts';

/** Makes the folder and takes its lock, which ends with the process whatever happens. Gives the function that lets it go.
 *  STATE_LOCKED, CONFIG_INVALID. */
export async function lockState(
  native: Pick<Native, 'tryLock'>,
  folder: string,
): Promise<() => Promise<void>> {
  const path = join(folder, 'basaltd.lock');
  let file: Awaited<ReturnType<typeof open>>;
  try {
    await mkdir(folder, { recursive: true, mode: 0o750 });
    file = await open(path, 'a+', 0o640);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new Fault('CONFIG_INVALID', `Cannot use the state folder "${folder}": ${why}`, { cause: thrown });
  }
  if (!native.tryLock(file.fd)) {
    const owner = (await file.readFile('utf8')).trim();
    await file.close();
    const who = /^\d+$/.test(owner) ? ` (process ${owner})` : '';
    throw new Fault(
      'STATE_LOCKED',
      `Cannot use the state folder "${folder}": another basaltd${who} is using it`,
    );
  }
  await file.truncate(0);
  await file.write(`${process.pid}\n`, 0);
  return () => file.close();
}

/** The id of this host, made once. */
export async function hostIdOf(catalog: Catalog): Promise<string> {
  const known = catalog.get('facts', 'host');
  if (known !== undefined) return known.value;
  const value = randomUUID();
  await catalog.commit((changes) => changes.put('facts', { id: 'host', value }));
  return value;
}
