/** What is no damage must not look like it, and what is damage must not hide. */

import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { Fault } from '../../daemon/base/faults.ts';
import type { Storage } from '../../daemon/storage/storage.ts';
import { packsIn } from '../support/packs.ts';
import { openTestRepository, temporaryFolder, withoutFiles } from '../support/repository.ts';
import { load, store } from '../support/stored-volume.ts';

const ignore = () => undefined;
const never = new AbortController().signal;

/** A storage whose reads of packs fail while `errno` says so. */
function failingReads(trouble: { errno?: string }) {
  return (bare: Storage): Storage => ({
    ...withoutFiles(bare),
    read: (key, position, output) => {
      const { errno } = trouble;
      if (errno === undefined || !key.startsWith('packs/')) return bare.read(key, position, output);
      const cause = Object.assign(new Error(errno), { code: errno });
      return Promise.reject(new Fault('STORAGE_FAILED', `Cannot read "${key}": ${errno}`, { cause }));
    },
  });
}

test('a storage that is not at hand is a fault of the storage, and no damage', async () => {
  const trouble: { errno?: string } = {};
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder, { wrap: failingReads(trouble) });
  const bytes = randomBytes(3 * MiB);
  const manifest = await store(opened.repository, folder, bytes);
  trouble.errno = 'ESTALE';
  await expect(load(opened.repository, manifest)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  for (const readData of [false, true]) {
    await expect(opened.repository.check({ readData }, ignore, never)).rejects.toMatchObject({
      code: 'STORAGE_FAILED',
    });
  }
  delete trouble.errno;
  expect((await load(opened.repository, manifest)).damaged).toEqual([]);
  const again = await store(opened.repository, folder, bytes);
  expect(again.statistics.stored_bytes).toBe(0);
});

test('a sector that the disk can not read is damage, which a check names and goes on', async () => {
  const trouble: { errno?: string } = {};
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder, { wrap: failingReads(trouble) });
  const manifest = await store(opened.repository, folder, randomBytes(MiB));
  expect((await opened.repository.check({ readData: true }, ignore, never)).damagedPacks).toEqual([]);
  trouble.errno = 'EIO';
  expect((await load(opened.repository, manifest)).damaged).not.toEqual([]);
  const report = await opened.repository.check({ readData: true }, ignore, never);
  expect(report.damagedPacks.length).toBeGreaterThan(0);
  expect(report.damagedBackups).toHaveLength(1);
});

test('a backup that is made while a check runs is not called damaged', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  await store(opened.repository, folder, randomBytes(MiB));
  let made: Promise<unknown> | undefined;
  let waited = false;
  const progress = ({ phase }: { phase: string }) => {
    // The packs are listed by now: what comes behind has others.
    if (phase === 'checking packs') made ??= store(opened.repository, folder, randomBytes(MiB));
  };
  const { repository } = opened;
  const manifests = repository.manifests.bind(repository);
  repository.manifests = async function* () {
    if (made !== undefined) {
      await made;
      waited = true;
    }
    yield* manifests();
  };
  const report = await repository.check({ readData: false }, progress, never);
  expect(waited).toBe(true);
  expect(report).toMatchObject({ backupsChecked: 1, damagedBackups: [], damagedPacks: [] });
});

test('both copies of a block are corrupt: a check does not take one for whole', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const bytes = randomBytes(64 * KiB);
  const manifest = await store(opened.repository, folder, bytes);
  const flip = async (path: string) => {
    const pack = await readFile(path);
    pack.writeUInt8(pack.readUInt8(20_000) ^ 4, 20_000);
    await writeFile(path, pack);
  };
  const first = packsIn(opened.root);
  for (const path of first) await flip(path);
  expect((await load(opened.repository, manifest)).damaged).toHaveLength(1);
  // The same block once more, beside another one, so that its pack is another.
  await store(opened.repository, folder, Buffer.concat([bytes, randomBytes(64 * KiB)]));
  expect((await load(opened.repository, manifest)).damaged).toEqual([]);
  for (const path of packsIn(opened.root)) if (!first.includes(path)) await flip(path);
  const report = await opened.repository.check({ readData: true }, ignore, never);
  expect(report.damagedBackups.map(({ backupId }) => backupId)).toContain(manifest.backup.id);
});

test('packs that another host has added since are found when a block is not known', async () => {
  const [folder, elsewhere] = [await temporaryFolder(), await temporaryFolder()];
  await using opened = await openTestRepository(folder);
  await using other = await openTestRepository(elsewhere);
  const bytes = randomBytes(2 * MiB);
  const manifest = await store(other.repository, elsewhere, bytes);
  for (const path of packsIn(other.root)) {
    const here = path.replace(other.root, opened.root);
    await mkdir(dirname(here), { recursive: true });
    await copyFile(path, here);
  }
  const loaded = await load(opened.repository, manifest);
  expect(loaded.damaged).toEqual([]);
  expect(loaded.bytes.equals(bytes)).toBe(true);
});

test('a rebuild that is cancelled leaves an index with which everything can be read', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const manifests = [];
  for (let number = 0; number < 4; number += 1)
    manifests.push(await store(opened.repository, folder, randomBytes(200 * KiB)));
  const controller = new AbortController();
  const rebuilt = opened.repository.rebuildIndex(() => controller.abort(), controller.signal);
  await expect(rebuilt).rejects.toThrow();
  for (const manifest of manifests) expect((await load(opened.repository, manifest)).damaged).toEqual([]);
});

test('a repository whose folder was put away takes no backup and empties no index', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const manifest = await store(opened.repository, folder, randomBytes(MiB));
  await rename(opened.root, `${opened.root}.away`);
  await mkdir(opened.root);
  const missing = { code: 'REPOSITORY_MISSING' };
  await expect(store(opened.repository, folder, randomBytes(MiB))).rejects.toMatchObject(missing);
  await expect(opened.repository.rebuildIndex(ignore, never)).rejects.toMatchObject(missing);
  await expect(opened.repository.removeManifest(manifest.backup.id)).rejects.toMatchObject(missing);
  expect(await readdir(opened.root)).toEqual([]);
  await rm(opened.root, { recursive: true });
  await rename(`${opened.root}.away`, opened.root);
  expect((await load(opened.repository, manifest)).damaged).toEqual([]);
});

test('a walk over pages that are all in memory lets others have their turn', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const manifest = await store(opened.repository, folder, randomBytes(64 * KiB));
  await load(opened.repository, manifest);
  const image = opened.repository.openImage(manifest);
  let turns = 0;
  const ticking = setInterval(() => (turns += 1));
  for (let walk = 0; walk < 20_000; walk += 1) for await (const { length } of image.extents()) void length;
  clearInterval(ticking);
  expect(turns).toBeGreaterThan(1);
});
