/** Which snapshots stay for the next backup: one of a volume, and only one that can be used. */

import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openLmdbCatalog } from '../../../daemon/catalog/lmdb-catalog.ts';
import type { SnapshotMaker } from '../../../daemon/devices/snapshots/maker.ts';
import type { Evidence } from '../../../daemon/format/manifest.ts';
import { keepForNext } from '../../../daemon/jobs/kept-for-next.ts';
import { folderForTest } from '../../support/devices.ts';
import { backupRecord, thinMark } from '../../support/records.ts';

const evidence: Evidence = { read_from: 'temporary-snapshot', used_by: [], hooks: [], made_from: thinMark };
const map = { block_bytes: 65_536, height: 1, root: '0'.repeat(64) };
const unreadable = { ranges: [{ offset: 0, length: 512 }], bytes: 512, exact: true };

const nobody = () => Promise.reject(new Error('not asked for'));

function world() {
  const catalog = openLmdbCatalog(join(folderForTest(), 'catalog.mdb'));
  onTestFinished(() => catalog.close());
  const removed: string[] = [];
  const maker: SnapshotMaker = {
    kind: 'lvm',
    placeFor: nobody,
    isPlace: () => true,
    urlOf: (place) => place,
    placeIn: (url) => url,
    prepare: nobody,
    open: nobody,
    remove: async (place) => void removed.push(place),
  };
  const services = {
    catalog,
    busyVolumes: new Set<string>(),
    keepSnapshots: true,
    snapshots: {
      forSource: nobody,
      forPlace: () => undefined,
      at: (_kind: string, place: string) => ({ maker, place }),
      recover: nobody,
    },
  };
  const context = {
    log: () => undefined,
    journalTemporary: (_path: string | null, more: Parameters<typeof catalog.commit>[0] = () => undefined) =>
      catalog.commit(more),
  };
  const keep = async (id: string, manifest: Parameters<typeof keepForNext>[2]['manifest']) => {
    await catalog.commit((changes) => changes.put('backups', backupRecord({ id, status: 'creating' })));
    await keepForNext(services, context, {
      backup: { id, data_timestamp: `2026-11-22T00:00:0${id}.000Z` },
      volume: { id: 'v', project_id: 'default' },
      opened: { temporary: { maker, place: `place-${id}`, id }, evidence, source: { sizeBytes: 65_536 } },
      manifest,
    });
    return [...catalog.all('snapshots')].map(({ source }) => source);
  };
  return { keep, removed };
}

test('a backup that nothing can be compared with leaves no snapshot', async () => {
  const { keep, removed } = world();
  // In Cinder's format, and one that has read around errors.
  expect(await keep('1', { evidence })).toEqual([]);
  expect(await keep('2', { map, evidence: { ...evidence, unreadable } })).toEqual([]);
  // What is not kept goes with its job.
  expect(removed).toEqual([]);
});

test('one stays, and the one before goes once it is recorded', async () => {
  const { keep, removed } = world();
  expect(await keep('1', { map, evidence })).toEqual(['place-1']);
  expect(await keep('2', { map, evidence })).toEqual(['place-2']);
  // A backup to another kind of repository takes nothing from the others.
  expect(await keep('3', { evidence })).toEqual(['place-2']);
  expect(removed).toEqual(['place-1']);
});
