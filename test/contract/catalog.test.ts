import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openLmdbCatalog } from '../../daemon/catalog/lmdb-catalog.ts';
import type { BackupRecord, MountRecord } from '../../daemon/catalog/records.ts';
import { pageOf } from '../../daemon/control/listing.ts';
import { methods } from '../../daemon/protocol/methods.ts';
import { backupRecord } from '../support/records.ts';
import { temporaryFolder } from '../support/repository.ts';

const backup = (number: number, more: Partial<BackupRecord> = {}): BackupRecord => {
  const at = new Date(number * 1000).toISOString();
  return backupRecord({
    id: `00000000-0000-4000-8000-${String(number * 7919).padStart(12, '0')}`,
    name: `backup ${number % 3}`,
    volume_id: `volume ${number % 4}`,
    volume_name: `name ${number % 4}`,
    project_id: number % 5 === 0 ? 'other' : 'default',
    size_bytes: (number * 104_729) % 1000,
    data_timestamp: at,
    created_at: at,
    updated_at: at,
    ...more,
  });
};

async function filled(count: number) {
  const folder = await temporaryFolder();
  const path = join(folder, 'catalog.mdb');
  let catalog = openLmdbCatalog(path);
  await catalog.commit((changes) => {
    for (let number = 0; number < count; number += 1) changes.put('backups', backup(number));
  });
  // Read from what is on disk.
  await catalog.close();
  catalog = openLmdbCatalog(path);
  return {
    catalog,
    async [Symbol.asyncDispose]() {
      await catalog.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

test.each(['created_at:desc', 'created_at:asc', 'size_bytes:asc', 'name,created_at:asc'])(
  'pages sorted by %s put together are the whole list, once',
  async (sort) => {
    await using opened = await filled(101);
    const seen: string[] = [];
    let marker: string | undefined;
    do {
      const params = methods['backup.list'].params.parse({
        limit: 7,
        sort,
        ...(marker === undefined ? {} : { marker }),
      });
      const page = pageOf(opened.catalog, params, () => true);
      seen.push(...page.backups.map(({ id }) => id));
      marker = page.next_marker ?? undefined;
    } while (marker !== undefined);
    const all = methods['backup.list'].params.parse({ sort });
    expect(seen).toEqual(pageOf(opened.catalog, all, () => true).backups.map(({ id }) => id));
    expect(new Set(seen).size).toBe(80);
  },
);

test('orders follow a backup that changes, and forget one that goes', async () => {
  await using opened = await filled(8);
  const { catalog } = opened;
  const ids = (records: Iterable<BackupRecord>) => [...records].map(({ id }) => id);
  const changed = backup(3, { name: 'renamed', status: 'restoring', volume_id: 'elsewhere' });
  await catalog.commit((changes) => changes.put('backups', changed));
  expect(ids(catalog.backups.named('renamed'))).toEqual([changed.id]);
  expect(ids(catalog.backups.named('backup 0'))).not.toContain(changed.id);
  expect(ids(catalog.backups.unsettled())).toEqual([changed.id]);
  expect([...catalog.backups.volumeIds()]).toEqual([
    'elsewhere',
    'volume 0',
    'volume 1',
    'volume 2',
    'volume 3',
  ]);
  expect(ids(catalog.backups.ofVolume('volume 3'))).toEqual([backup(7).id]);
  await catalog.commit((changes) => changes.remove('backups', changed.id));
  expect(ids(catalog.backups.named('renamed'))).toEqual([]);
  expect(ids(catalog.backups.unsettled())).toEqual([]);
  expect(ids(catalog.backups.newestFirst())).toEqual(
    [7, 6, 5, 4, 2, 1, 0].map((number) => backup(number).id),
  );
  expect(catalog.count('backups')).toBe(7);
});

test('a name longer than a key is found by the whole of it', async () => {
  await using opened = await filled(0);
  const [one, other] = [
    backup(1, { name: `${'n'.repeat(250)}1` }),
    backup(2, { name: `${'n'.repeat(250)}2` }),
  ];
  await opened.catalog.commit((changes) => {
    changes.put('backups', one);
    changes.put('backups', other);
  });
  expect([...opened.catalog.backups.named(other.name ?? '')].map(({ id }) => id)).toEqual([other.id]);
});

test('a change that throws leaves nothing of itself', async () => {
  const folder = await temporaryFolder();
  const catalog = openLmdbCatalog(join(folder, 'catalog.mdb'));
  const change = catalog.commit((changes) => {
    changes.put('backups', backup(1));
    changes.put('facts', { id: 'planted', value: 'half' });
    throw new Error('planted');
  });
  await expect(change).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  expect(catalog.get('facts', 'planted')).toBeUndefined();
  expect([...catalog.all('backups'), ...catalog.backups.newestFirst()]).toEqual([]);
  await catalog.close();
  await rm(folder, { recursive: true });
});

test('a record of an earlier version is read with every field that it lacks', async () => {
  const folder = await temporaryFolder();
  const path = join(folder, 'catalog.mdb');
  const { user_id: _user, consistency_evidence: _evidence, restore_volume_id: _volume, ...old } = backup(1);
  const writer = openLmdbCatalog(path);
  await writer.commit((changes) => changes.put('backups', old as BackupRecord));
  await writer.close();
  const catalog = openLmdbCatalog(path);
  onTestFinished(async () => {
    await catalog.close();
    await rm(folder, { recursive: true });
  });
  const whole = { user_id: '', consistency_evidence: null, restore_volume_id: null };
  expect(catalog.get('backups', old.id)).toMatchObject(whole);
  expect([...catalog.all('backups')]).toEqual([{ ...old, ...whole }]);
  expect([...catalog.backups.ofVolume(old.volume_id)]).toEqual([{ ...old, ...whole }]);
});

test('a mount of an earlier version is one of the kernel, which does not come back', async () => {
  await using world = await filled(1);
  const old = {
    id: 'm',
    backup_id: 'b',
    project_id: 'p',
    directory: '/mnt',
    partition: null,
    image_path: '/i',
  };
  const made = { loop_device: '/dev/loop0', file_system: 'ext4', created_at: new Date(0).toISOString() };
  await world.catalog.commit((changes) => changes.put('mounts', { ...old, ...made } as MountRecord));
  const whole = { ...old, ...made, kind: 'kernel', wanted: false, owner_uid: null };
  expect(world.catalog.get('mounts', 'm')).toEqual(whole);
  expect([...world.catalog.all('mounts')]).toEqual([whole]);
});

test('backups are found by how the time of their making begins, and a number tells that some have changed', async () => {
  await using world = await filled(100);
  const { backups } = world.catalog;
  const secondsOf = (found: Iterable<BackupRecord>) =>
    [...found].map(({ created_at }) => Date.parse(created_at) / 1000);
  expect(secondsOf(backups.made('1970-01-01T00:00:1'))).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  expect(secondsOf(backups.made('1970-01-01T00:00:1', 'volume 3'))).toEqual([11, 15, 19]);
  expect(secondsOf(backups.made('1970-01-01T00:00:11'))).toEqual([11]);
  expect(secondsOf(backups.made('1970-01-01T00:00:1', 'volume'))).toEqual([]);
  const before = backups.generation();
  await world.catalog.commit((changes) => changes.put('facts', { id: 'x', value: 'y' }));
  expect(backups.generation()).toBe(before);
  await world.catalog.commit((changes) => changes.remove('backups', backup(1).id));
  expect(backups.generation()).not.toBe(before);
});
