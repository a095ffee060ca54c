/** Attachments over a storage that can be made to fail (`fake-connector.ts`), and the means to look at them.
 *  Promises: each test has its own, and nothing of it outlives the test. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { onTestFinished } from 'vitest';
import { systemClock } from '../../daemon/base/clock.ts';
import type { Catalog, Changes } from '../../daemon/catalog/catalog.ts';
import { openLmdbCatalog } from '../../daemon/catalog/lmdb-catalog.ts';
import type { AttachmentUser } from '../../daemon/catalog/records.ts';
import { systemFolders } from '../../daemon/devices/connect/connector.ts';
import { connectorsOf, type RemoteLocation } from '../../daemon/devices/connect/connectors.ts';
import { createProbe } from '../../daemon/devices/connect/probe.ts';
import { systemTools } from '../../daemon/devices/connect/tools.ts';
import { type AcquireOrder, Attachments, type Hold } from '../../daemon/jobs/attachments/attachments.ts';
import { native } from '../../native/native.ts';
import { FakeStorage } from './fake-connector.ts';

const policy = {
  multipath: true,
  enforceMultipath: false,
  pathsMin: 1,
  scanAttempts: 3,
  timeoutMs: 2_000,
};

export const job = (id: string): AttachmentUser => ({ kind: 'job', id });

/** Of a daemon that can be killed: nothing that it does afterwards reaches the catalog, or the storage where that asks. */
export class Life {
  ended = false;
  readonly tools = { ...systemTools };
  readonly #commits = new Set<Promise<void>>();

  /** Resolves when what it had begun to write is written. */
  async end(): Promise<void> {
    this.ended = true;
    await Promise.allSettled(this.#commits);
  }

  over(catalog: Catalog): Catalog {
    const commit = (change: (changes: Changes) => void) => {
      if (this.ended) return new Promise<void>(() => undefined);
      const written = catalog.commit(change);
      this.#commits.add(written);
      return written;
    };
    return { ...catalog, commit };
  }
}

export interface AttachmentWorld {
  readonly storage: FakeStorage;
  readonly attachments: Attachments;
  /** A daemon with the same state, as after a restart. `life`: until it ends. */
  readonly another: (life?: Life) => Attachments;
  readonly locationOf: (name: string, password?: string) => RemoteLocation;
  /** For reading, by a job, unless `more` says otherwise. */
  readonly acquire: (
    name: string,
    user?: string,
    more?: Partial<AcquireOrder>,
    from?: Attachments,
  ) => Promise<Hold>;
}

/** With volumes "a" and "b". */
export function attachmentWorld(): AttachmentWorld {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-attachments-'));
  mkdirSync(join(folder, 'state'));
  const storage = new FakeStorage(join(folder, 'storage'));
  for (const name of ['a', 'b']) storage.show(name, Buffer.alloc(4096, name));
  const catalog = openLmdbCatalog(join(folder, 'catalog.mdb'));
  onTestFinished(async () => {
    await catalog.close();
    rmSync(folder, { recursive: true });
  });
  const connectors = connectorsOf([storage.connector()]);
  const another = (life = new Life()) =>
    new Attachments({
      catalog: life.over(catalog),
      connectors,
      clock: systemClock,
      log: pino({ level: 'silent' }),
      native,
      probe: createProbe(native),
      tools: life.tools,
      folders: systemFolders,
      policy,
      stateDirectory: join(folder, 'state'),
      host: { name: 'here', machine: 'x86_64', addresses: [] },
      lockDirectory: join(folder, 'locks'),
    });
  const attachments = another();
  const locationOf = (name: string, password = 'swordfish'): RemoteLocation => {
    const location = connectors.parse(`fake://user:${password}@portal/${name}`);
    if (location.where !== 'attached') throw new Error('it is here');
    return location;
  };
  const acquire: AttachmentWorld['acquire'] = (name, user = 'one', more = {}, from = attachments) =>
    from.acquire({
      location: locationOf(name),
      user: job(user),
      access: 'read',
      wanted: null,
      signal: new AbortController().signal,
      note: () => undefined,
      ...more,
    });
  return { storage, attachments, another, locationOf, acquire };
}
