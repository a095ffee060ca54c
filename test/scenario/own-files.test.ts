/** What the daemon itself lives on is no target, and what it finds damaged there is a fault and no crash. */

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB } from '../../daemon/base/bytes.ts';
import { codeOfCall } from '../support/daemon.ts';
import { addNoise, daemonForTest } from '../support/fault-world.ts';

test('a restore into the repository, the state folder or the view is refused before anything is written', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 100 * KiB, 1);
  const { id: backup } = await daemon.backUp('v');
  const packs = join(daemon.repositoryDir, 'packs');
  const pack = join(
    packs,
    String(readdirSync(packs, { recursive: true }).find((name) => String(name).endsWith('.pack'))),
  );
  const before = readFileSync(pack);
  for (const target of [
    pack,
    join(packs, 'new'),
    join(daemon.stateDir, 'catalog.mdb'),
    join(daemon.viewDir, 'v'),
  ]) {
    expect(await codeOfCall(daemon.call('backup.restore', { backup, target, force: true }))).toBe(
      'TARGET_UNUSABLE',
    );
  }
  expect(readFileSync(pack).equals(before)).toBe(true);
  await daemon.done(daemon.call('repository.check', { read_data: true }));
  // The folder for restores lies in the state folder, and stays usable.
  await daemon.done(daemon.call('backup.restore', { backup }));
});

test('a catalog that is damaged is said to be, and can be made anew', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 100 * KiB, 2);
  const { id: backup } = await daemon.backUp('v');
  await daemon.stop();
  const catalog = join(daemon.stateDir, 'catalog.mdb');
  const bytes = readFileSync(catalog);
  writeFileSync(catalog, bytes.fill(7, 0, 511));
  await expect(daemon.start()).rejects.toThrow();
  expect(daemon.log).toMatch(/the catalog ".*" is damaged|it is damaged/);
  for (const name of ['catalog.mdb', 'catalog.mdb-lock'])
    rmSync(join(daemon.stateDir, name), { force: true });
  await daemon.start();
  await daemon.done(daemon.call('catalog.rebuild', {}));
  await daemon.done(daemon.call('backup.verify', { backup }));
});

test('a delete that a read-only repository refuses leaves the backup as it was', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 100 * KiB, 3);
  const { id: backup } = await daemon.backUp('v');
  mkdirSync(join(daemon.repositoryDir, 'locks'), { recursive: true });
  writeFileSync(join(daemon.repositoryDir, 'locks', 'exclusive.json'), '{}');
  expect(await codeOfCall(daemon.call('backup.create', { volume: 'v' }))).toBe('REPOSITORY_LOCKED');
  const { job_id: job } = await daemon.call('backup.delete', { backup });
  expect(await daemon.call('job.watch', { job })).toMatchObject({ fault: { code: 'REPOSITORY_LOCKED' } });
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
  expect((await daemon.call('backup.list', {})).backups).toHaveLength(1);
});
