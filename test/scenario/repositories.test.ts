/** Several repositories of one daemon: added, used, found again after a restart, forgotten. */

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB } from '../../daemon/base/bytes.ts';
import { codeOfCall, type Daemon } from '../support/daemon.ts';
import { addNoise, daemonForTest } from '../support/fault-world.ts';

const backUpTo = async (daemon: Daemon, repository: string, incremental = false) => {
  const started = await daemon.call('backup.create', { volume: 'v', repository, incremental });
  await daemon.done(started);
  return daemon.call('backup.show', { backup: started.backup.id });
};

test('a backup is made in, and read from, the repository that was named, also after a restart', async () => {
  const daemon = await daemonForTest();
  const source = await addNoise(daemon, 'v', 300 * KiB, 1);
  const url = `file://${join(daemon.folder, 'further')}`;
  expect(await daemon.call('repository.add', { name: 'further', url })).toMatchObject({ status: 'missing' });
  await daemon.call('repository.init', { name: 'further' });
  const here = await daemon.backUp('v');
  expect(await codeOfCall(backUpTo(daemon, 'further', true))).toBe('NO_PARENT');
  const there = await backUpTo(daemon, 'further');
  const next = await backUpTo(daemon, 'further', true);
  expect([here.repository, there.repository, next.parent_id]).toEqual(['default', 'further', there.id]);
  expect(await daemon.call('repository.stats', { name: 'further' })).toMatchObject({ backups: 2 });
  expect(await daemon.call('repository.stats', {})).toMatchObject({ backups: 1 });
  expect(await codeOfCall(daemon.call('backup.diff', { a: here.id, b: there.id }))).toBe('INVALID_ARGUMENT');

  await daemon.stop();
  await daemon.start();
  const { repositories } = await daemon.call('repository.list', {});
  expect(repositories.map(({ name, status }) => [name, status])).toEqual([
    ['default', 'ready'],
    ['further', 'ready'],
  ]);
  expect((await daemon.call('status', {})).repositories).toHaveLength(2);
  const target = join(daemon.folder, 'restored.img');
  await daemon.done(daemon.call('backup.restore', { backup: there.id, target }));
  expect(readFileSync(target).equals(source)).toBe(true);
  expect(readFileSync(await daemon.imageOf(next)).equals(source)).toBe(true);
  await daemon.done(daemon.call('catalog.rebuild', { name: 'further' }));
  expect((await daemon.call('backup.list', {})).backups).toHaveLength(3);
  await daemon.done(daemon.call('backup.delete', { backup: there.id }));
  await daemon.done(daemon.call('repository.check', { name: 'further', read_data: true }));
});

test('a repository is forgotten with its records, and only when nothing is lost by it unasked', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 100 * KiB, 2);
  const url = join(daemon.folder, 'further');
  await daemon.call('repository.add', { name: 'further', url });
  await daemon.call('repository.init', { name: 'further' });
  const kept = await daemon.backUp('v');
  await backUpTo(daemon, 'further');
  expect(await codeOfCall(daemon.call('repository.remove', { name: 'further' }))).toBe('REPOSITORY_USED');
  expect(await codeOfCall(daemon.call('repository.remove', { name: 'default', force: true }))).toBe(
    'INVALID_ARGUMENT',
  );
  expect(await codeOfCall(daemon.call('repository.show', { name: 'nobody' }))).toBe('REPOSITORY_UNKNOWN');
  expect(await daemon.call('repository.remove', { name: 'further', force: true })).toMatchObject({
    records_forgotten: 1,
  });
  expect((await daemon.call('backup.list', {})).backups.map(({ id }) => id)).toEqual([kept.id]);
  // What it holds is there, and comes back with it.
  await daemon.call('repository.add', { name: 'again', url, read_only: true });
  await daemon.done(daemon.call('catalog.rebuild', { name: 'again' }));
  expect((await daemon.call('backup.list', {})).backups).toHaveLength(2);
  expect(await codeOfCall(backUpTo(daemon, 'again'))).toBe('REPOSITORY_READ_ONLY');
});

test('the same repository under two names, a copy of one, an unusable folder, and too many are refused', async () => {
  const daemon = await daemonForTest();
  const add = (name: string, url: string) => codeOfCall(daemon.call('repository.add', { name, url }));
  expect(await add('same', daemon.repositoryDir)).toBe('ALREADY_EXISTS');
  cpSync(daemon.repositoryDir, join(daemon.folder, 'copy'), { recursive: true });
  expect(await add('copy', join(daemon.folder, 'copy'))).toBe('ALREADY_EXISTS');
  mkdirSync(join(daemon.folder, 'broken'));
  writeFileSync(join(daemon.folder, 'broken', 'basalt-repository.json'), 'nonsense');
  expect(await add('broken', join(daemon.folder, 'broken'))).toBe('REPOSITORY_DAMAGED');
  expect(await add('elsewhere', 'http://somewhere/')).toBe('CONFIG_INVALID');
  expect(await add('../up', '/nowhere')).toBe('INVALID_ARGUMENT');
  for (let number = 1; number < 8; number += 1) {
    await daemon.call('repository.add', { name: `n${number}`, url: join(daemon.folder, `n${number}`) });
  }
  expect(await add('n8', join(daemon.folder, 'n8'))).toBe('TOO_MANY');
  const { stdout } = await daemon.basaltctl('repository', 'list', '-f', 'value', '-c', 'name');
  expect(stdout.trim().split('\n')).toEqual(['default', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7']);
});
