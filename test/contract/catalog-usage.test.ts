/** The usage of a project is the sum over its records, whatever was put, changed and removed, in whatever order. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { open } from 'lmdb';
import { expect, onTestFinished, test } from 'vitest';
import { Fault } from '../../daemon/base/faults.ts';
import type { Catalog } from '../../daemon/catalog/catalog.ts';
import { openLmdbCatalog } from '../../daemon/catalog/lmdb-catalog.ts';
import type { BackupRecord } from '../../daemon/catalog/records.ts';
import { type BackupStatus, backupStatus } from '../../daemon/catalog/statuses.ts';
import { counted, noUsage, plus, type Usage } from '../../daemon/catalog/usage.ts';
import { Quotas } from '../../daemon/jobs/quotas.ts';
import { backupRecord } from '../support/records.ts';
import { temporaryFolder } from '../support/repository.ts';

async function freshPath(): Promise<string> {
  const folder = await temporaryFolder();
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'catalog.mdb');
}

const sumOf = (catalog: Catalog, project: string): Usage =>
  [...catalog.all('backups')]
    .filter(({ project_id }) => project_id === project)
    .reduce((sum, record) => plus(sum, counted(record)), noUsage);

const record: fc.Arbitrary<Partial<BackupRecord> & { id: string }> = fc.record({
  id: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
  project_id: fc.constantFrom('default', 'web', ''),
  status: fc.constantFrom(
    'creating',
    'available',
    'restoring',
    'error',
    'deleting',
    'error_deleting',
    'deleted',
  ),
  size_bytes: fc.nat(2 ** 40),
  stored_bytes: fc.nat(1000),
  new_bytes: fc.nat(1000),
});
/** The wish where the table of statuses allows it, else what is there: the catalog refuses the rest. */
function allowed(before: BackupStatus | undefined, wish: BackupStatus = 'creating'): BackupStatus {
  if (before === undefined) return backupStatus.mayBegin(wish) ? wish : 'creating';
  return backupStatus.mayBecome(before, wish) ? wish : before;
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ put: fc.array(record, { maxLength: 4 }), throws: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ remove: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'unknown') }) },
  { weight: 1, arbitrary: fc.constant('reopen' as const) },
);

test('usage is the sum over the records after any changes, refused changes and openings', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const path = await freshPath();
      let catalog = openLmdbCatalog(path);
      for (const next of steps) {
        if (next === 'reopen') {
          await catalog.close();
          catalog = openLmdbCatalog(path);
          await catalog.ready();
        } else if ('remove' in next)
          await catalog.commit((changes) => changes.remove('backups', next.remove));
        else {
          const change = catalog.commit((changes) => {
            for (const fields of next.put) {
              const status = allowed(catalog.get('backups', fields.id)?.status, fields.status);
              changes.put('backups', backupRecord({ ...fields, status }));
            }
            if (next.throws) throw new Fault('OVER_QUOTA', 'planted');
          });
          await change.catch((thrown: unknown) => expect(thrown).toMatchObject({ code: 'OVER_QUOTA' }));
        }
        for (const project of ['default', 'web', '']) {
          expect(catalog.usage(project)).toEqual(sumOf(catalog, project));
        }
      }
      await catalog.close();
    }),
    { numRuns: 40 },
  );
});

test('a catalog of a version that did not count is counted when it is opened', async () => {
  const path = await freshPath();
  const catalog = openLmdbCatalog(path);
  await catalog.commit((changes) => {
    for (let number = 0; number < 100; number += 1) {
      changes.put(
        'backups',
        backupRecord({ id: `${number}`, project_id: number % 3 === 0 ? 'web' : 'default' }),
      );
    }
  });
  await catalog.close();
  const root = open({ path, noSubdir: true, maxDbs: 32 });
  await root.openDB({ name: 'usage' }).clearAsync();
  await root.close();
  const opened = openLmdbCatalog(path);
  await opened.ready();
  expect(opened.usage('web')).toEqual(sumOf(opened, 'web'));
  expect(opened.usage('web').backups).toBe(34);
  await opened.close();
});

test('checks and records at the same time end exactly at the limit, for records of unequal size too', async () => {
  const catalog = openLmdbCatalog(await freshPath());
  const quotas = new Quotas(catalog, { backups: -1, backup_gigabytes: 10 });
  const sizes = Array.from({ length: 50 }, (_, number) => ((number % 3) + 1) * 2 ** 30);
  const ended = await Promise.allSettled(
    sizes.map((size_bytes, number) =>
      catalog.commit((changes) => {
        quotas.require('default', size_bytes);
        changes.put('backups', backupRecord({ id: `${number}`, status: 'creating', size_bytes }));
      }),
    ),
  );
  expect(ended.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(40);
  expect(quotas.lines('default').backup_gigabytes).toEqual({ in_use: 0, reserved: 10, limit: 10 });
  await catalog.close();
});
