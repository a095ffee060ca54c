/** The tables of statuses: what they allow is done, what they do not allow is never written. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AssertionFailure } from '../../../daemon/base/assert.ts';
import type { Machine } from '../../../daemon/base/machine.ts';
import { openLmdbCatalog } from '../../../daemon/catalog/lmdb-catalog.ts';
import type { VolumeRecord } from '../../../daemon/catalog/records.ts';
import {
  attachmentStatus,
  backupStatus,
  jobStatus,
  snapshotStatus,
  volumeStatus,
} from '../../../daemon/catalog/statuses.ts';
import { temporaryFolder } from '../../support/repository.ts';

const machines: readonly [string, Machine<string>][] = [
  ['backup', backupStatus],
  ['volume', volumeStatus],
  ['snapshot', snapshotStatus],
  ['job', jobStatus],
  ['attachment', attachmentStatus],
];

const reachable = (rules: Machine<string>, from: readonly string[]): Set<string> => {
  const seen = new Set(from);
  for (const status of seen)
    for (const next of rules.statuses) if (rules.mayBecome(status, next)) seen.add(next);
  return seen;
};

test.each(machines)('every status of a %s is reached from a beginning', (_, rules) => {
  const begins = rules.statuses.filter((status) => rules.mayBegin(status));
  expect(begins).not.toEqual([]);
  expect([...reachable(rules, begins)].sort()).toEqual([...rules.statuses].sort());
});

/** Statuses in which something is under way: nothing may stay in them for ever. */
const passing = [
  'creating',
  'restoring',
  'deleting',
  'backing-up',
  'restoring-backup',
  'queued',
  'running',
  'attaching',
  'detaching',
];

test.each(machines)('no %s is stuck in the middle of something', (_, rules) => {
  for (const status of rules.statuses.filter((one) => passing.includes(one))) {
    const out = [...reachable(rules, [status])].filter((next) => !passing.includes(next));
    expect(out, status).not.toEqual([]);
    expect(rules.hasEnded(status)).toBe(false);
  }
});

test.each(machines)('a random walk of a %s goes exactly where the table allows', (_, rules) => {
  const status = fc.constantFrom(...rules.statuses, 'planted');
  fc.assert(
    fc.property(fc.array(status, { maxLength: 30 }), (wishes) => {
      let record = { status: rules.statuses.find((one) => rules.mayBegin(one)) ?? '', kept: 1 };
      for (const wish of wishes) {
        const from = record.status;
        if (rules.mayBecome(from, wish)) record = rules.move(record, wish);
        else expect(() => rules.move(record, wish)).toThrow(AssertionFailure);
        expect(record).toEqual({ status: rules.mayBecome(from, wish) ? wish : from, kept: 1 });
      }
    }),
  );
});

test.each(machines)('a %s begins only as the table says', (_, rules) => {
  for (const status of [...rules.statuses, 'planted']) {
    if (rules.mayBegin(status)) expect(rules.begin(status)).toBe(status);
    else expect(() => rules.begin(status)).toThrow(AssertionFailure);
  }
});

test('the catalog refuses a write past the table, and keeps what was there', async () => {
  const folder = await temporaryFolder();
  const catalog = openLmdbCatalog(join(folder, 'catalog.mdb'));
  try {
    const volume = { id: 'v', name: 'v', status: volumeStatus.begin('available') } as VolumeRecord;
    await catalog.commit((changes) => changes.put('volumes', volume));
    await catalog.commit((changes) => changes.put('volumes', volumeStatus.move(volume, 'restoring-backup')));
    const past = (status: VolumeRecord['status'], id = 'v') =>
      catalog.commit((changes) => {
        changes.put('facts', { id: 'half', value: 'done' });
        changes.put('volumes', { ...volume, id, status });
      });
    await expect(past('backing-up')).rejects.toThrow('may become backing-up');
    await expect(past('error_restoring', 'new')).rejects.toThrow('may begin as error_restoring');
    expect(catalog.get('volumes', 'v')?.status).toBe('restoring-backup');
    expect(catalog.get('facts', 'half')).toBeUndefined();
    await past('error_restoring');
    expect(catalog.get('volumes', 'v')?.status).toBe('error_restoring');
  } finally {
    await catalog.close();
    await rm(folder, { recursive: true });
  }
});
