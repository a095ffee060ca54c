/** Backups copied from one repository to another: same id, every byte, nothing twice. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { codeOfCall } from '../support/daemon.ts';
import { addNoise, daemonForTest } from '../support/fault-world.ts';

test('a chain is copied with its parents, once, and the records stay where they are', async () => {
  const daemon = await daemonForTest();
  const source = await addNoise(daemon, 'v', 300 * KiB, 1);
  await daemon.call('repository.add', { name: 'further', url: join(daemon.folder, 'further') });
  await daemon.call('repository.init', { name: 'further' });
  const first = await daemon.backUp('v');
  const second = await daemon.backUp('v', true);
  const order = { backup: second.id, to: 'further', chain: true };
  const { result } = await daemon.done(daemon.call('backup.copy', order));
  expect(result).toMatchObject({
    repository: 'further',
    copies: [
      { backup_id: first.id, copied: true },
      { backup_id: second.id, copied: true, parent_id: first.id },
    ],
  });
  const again = await daemon.done(daemon.call('backup.copy', order));
  expect(again.result).toMatchObject({ copies: [{ copied: false }, { copied: false }] });
  expect((await daemon.call('backup.list', {})).backups.map(({ repository }) => repository)).toEqual([
    'default',
    'default',
  ]);
  // The copy alone is enough.
  await daemon.done(daemon.call('backup.delete', { backup: second.id }));
  await daemon.done(daemon.call('catalog.rebuild', { name: 'further' }));
  const copy = await daemon.call('backup.show', { backup: second.id });
  expect([copy.repository, copy.parent_id, copy.created_at]).toEqual([
    'further',
    first.id,
    second.created_at,
  ]);
  // Whoever made it, and how the source stood, goes with it.
  expect(copy.consistency_evidence).toEqual({ read_from: 'source', used_by: [], hooks: [] });
  expect([copy.user_id, copy.host]).toEqual([second.user_id, second.host]);
  const target = join(daemon.folder, 'restored.img');
  await daemon.done(daemon.call('backup.restore', { backup: second.id, target }));
  expect(readFileSync(target).equals(source)).toBe(true);
});

test('what can not be copied is refused, or fails before there is a copy', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 300 * KiB, 2);
  const { id } = await daemon.backUp('v');
  expect(await codeOfCall(daemon.call('backup.copy', { backup: id, to: 'default' }))).toBe('ALREADY_EXISTS');
  expect(await codeOfCall(daemon.call('backup.copy', { backup: id, to: 'nowhere' }))).toBe(
    'REPOSITORY_UNKNOWN',
  );
  const url = join(daemon.folder, 'further');
  await daemon.call('repository.add', { name: 'further', url });
  expect(await codeOfCall(daemon.call('backup.copy', { backup: id, to: 'further' }))).toBe(
    'REPOSITORY_MISSING',
  );
});

test('copies at the same time that share a parent make it once, and all of them are whole', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 16 * MiB, 3);
  const [first, second] = [await daemon.backUp('v'), await daemon.backUp('v', true)];
  await daemon.call('repository.add', {
    name: 'cinder',
    url: `cinder+file://${join(daemon.folder, 'cinder')}`,
  });
  await daemon.call('repository.init', { name: 'cinder', kind: 'cinder', compression: 'none' });
  // Slow enough that the one is in the middle of the parent when the other one begins.
  const order = { to: 'cinder', chain: true, rate: 16 * MiB };
  const begun = await Promise.all(
    [first, second].map(({ id }) => daemon.call('backup.copy', { ...order, backup: id })),
  );
  const copied: string[] = [];
  for (const job of begun) {
    const { result } = await daemon.done(job);
    const { copies } = result as { copies: { backup_id: string; copied: boolean }[] };
    for (const copy of copies) if (copy.copied) copied.push(copy.backup_id);
  }
  expect(copied.sort()).toEqual([first.id, second.id].sort());
  await daemon.done(daemon.call('repository.check', { name: 'cinder', read_data: true }));
});
