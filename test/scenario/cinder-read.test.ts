/** Repositories that Cinder wrote: found without any database, restored, verified, shown, compared; and never written to. */

import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { addAndScan, type MadeBackup, makeChain, objectOf } from '../support/cinder-chain.ts';
import { codeOfCall, type Daemon } from '../support/daemon.ts';
import { daemonForTest } from '../support/fault-world.ts';

const folders: string[] = [];
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-cinder-'));
  folders.push(folder);
  return folder;
}
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

async function restored(daemon: Daemon, backup: string): Promise<Buffer> {
  const target = join(daemon.folder, `${backup}.img`);
  await daemon.done(daemon.call('backup.restore', { backup, target }));
  const bytes = readFileSync(target);
  rmSync(target);
  return bytes;
}

/** Reads here and there; a short read is a wrong one. */
async function readsRight(daemon: Daemon, { id, image }: MadeBackup): Promise<boolean> {
  const wanted = readFileSync(image);
  const path = await daemon.imageOf(await daemon.call('backup.show', { backup: id }));
  if (statSync(path).size !== wanted.length) return false;
  const file = openSync(path, 'r');
  try {
    for (let turn = 0; turn < 40; turn += 1) {
      const at = (turn * 7_654_321) % wanted.length;
      const length = Math.min(1 + ((turn * 54_321) % 300_000), wanted.length - at);
      const bytes = Buffer.alloc(length);
      if (readSync(file, bytes, 0, length, at) !== length) return false;
      if (!bytes.equals(wanted.subarray(at, at + length))) return false;
    }
    return true;
  } finally {
    closeSync(file);
  }
}

/** Everything in a folder, with sizes and times. */
const treeOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true })
    .map(String)
    .sort()
    .map((name) => {
      const { size, mtimeMs, ino } = statSync(join(folder, name));
      return `${name} ${size} ${mtimeMs} ${ino}`;
    });

test.each([
  ['zlib', 'GZIP', 3 * MiB, 32 * KiB],
  ['bz2', 'bzip2', 2 * MiB, 64 * KiB],
  ['zstd', 'zstd', 4 * MiB, 4 * KiB],
  ['none', 'off', 3 * MiB, 12 * KiB],
] as const)(
  'a chain of ten in %s comes back byte for byte, in every way it is read',
  async (compression, word, chunk, block) => {
    const folder = newFolder();
    const order = { compression, word, chunk, block, count: 10, seed: chunk, size: 4 * MiB + 123, grow: 4 };
    const made = makeChain(folder, order);
    const before = treeOf(join(folder, 'repository'));
    const daemon = await daemonForTest();
    const scan = await addAndScan(daemon, folder);
    expect(scan.result).toMatchObject({ complete: 10, incomplete: 0, registered: 10 });
    for (const backup of made) {
      const shown = await daemon.call('backup.show', { backup: backup.id });
      const wanted = readFileSync(backup.image);
      expect(shown).toMatchObject({
        size_bytes: wanted.length,
        parent_id: backup.parent_id,
        volume_id: backup.volume_id,
        repository: 'old',
        has_dependent_backups: made.some(({ parent_id }) => parent_id === backup.id),
      });
      expect((await restored(daemon, backup.id)).equals(wanted)).toBe(true);
    }
    for (const backup of [made[0], made[3], made[9]]) {
      if (backup === undefined) throw new Error('there are ten');
      expect(await readsRight(daemon, backup)).toBe(true);
      await daemon.done(daemon.call('backup.verify', { backup: backup.id }));
    }
    // A restart finds what was kept to be faster.
    await daemon.stop();
    await daemon.start();
    for (const backup of made.slice(-1)) expect(await readsRight(daemon, backup)).toBe(true);
    expect(treeOf(join(folder, 'repository'))).toEqual(before);
  },
);

test('what differs between two backups is told by their hash lists, and a parent is not deleted', async () => {
  const folder = newFolder();
  const made = makeChain(folder, { compression: 'zlib', count: 3, seed: 5, size: 4 * MiB });
  const daemon = await daemonForTest();
  await addAndScan(daemon, folder);
  const [a, b] = made.slice(0, 2).map(({ id }) => id) as [string, string];
  const [one, other] = made.slice(0, 2).map(({ image }) => readFileSync(image)) as [Buffer, Buffer];
  const { extents } = await daemon.call('backup.diff', { a, b });
  const differs = (at: number) => !one.subarray(at, at + 32_768).equals(other.subarray(at, at + 32_768));
  for (let at = 0; at < Math.max(one.length, other.length); at += 32_768) {
    const told = extents.some(({ offset, length }) => offset <= at && at < offset + length);
    expect(told, `block at ${at}`).toBe(differs(at));
  }
  expect(await codeOfCall(daemon.call('backup.delete', { backup: a }))).toBe('BACKUP_HAS_DEPENDENTS');
  const newest = made.at(-1)?.id ?? '';
  const job = await daemon.failed(daemon.call('backup.delete', { backup: newest }), 'REPOSITORY_READ_ONLY');
  expect(job.fault?.code).toBe('REPOSITORY_READ_ONLY');
  expect(await daemon.call('backup.show', { backup: newest })).toMatchObject({ status: 'available' });
});

test('containers of every shape are found, and lists in another spelling are read', async () => {
  const folder = newFolder();
  const named = { compression: 'zstd', count: 2, size: 2 * MiB, container: 'of the users/choice' } as const;
  const all = [
    ...makeChain(folder, { ...named, seed: 1 }),
    ...makeChain(folder, { ...named, seed: 2, container: 'flat' }),
    ...makeChain(folder, { compression: 'none', count: 2, size: 2 * MiB, seed: 3, indent: 0 }),
  ];
  const daemon = await daemonForTest();
  expect((await addAndScan(daemon, folder)).result).toMatchObject({ complete: 6 });
  for (const { id, image } of all)
    expect((await restored(daemon, id)).equals(readFileSync(image))).toBe(true);
});

test('without hash lists the MD5 of whole objects proves what is read', async () => {
  const folder = newFolder();
  const made = makeChain(folder, {
    compression: 'zlib',
    count: 2,
    seed: 10,
    shrink: false,
    size: 5 * MiB,
    chunk: 3 * MiB,
  });
  for (const backup of made) rmSync(objectOf(folder, backup, '_sha256file'));
  const daemon = await daemonForTest();
  expect((await addAndScan(daemon, folder)).result).toMatchObject({ complete: 2 });
  for (const { id, image } of made) {
    expect((await restored(daemon, id)).equals(readFileSync(image))).toBe(true);
  }
  const [full] = made;
  if (full === undefined) throw new Error('there is a full backup');
  expect(await readsRight(daemon, full)).toBe(true);
  const text = readFileSync(objectOf(folder, full, '_metadata'), 'utf8');
  writeFileSync(
    objectOf(folder, full, '_metadata'),
    text.replace(/"md5": "(.)/, (_, digit) => `"md5": "${digit === '0' ? '1' : '0'}`),
  );
  await daemon.failed(daemon.call('backup.verify', { backup: full.id }), 'FOUND_DAMAGE');
});

test('a scan names what is missing, of a backup itself and of those that it builds on', async () => {
  const folder = newFolder();
  const made = makeChain(folder, { compression: 'zlib', count: 4, seed: 9, size: 4 * MiB, container: 'all' });
  const [full, first, second, third] = made as [MadeBackup, MadeBackup, MadeBackup, MadeBackup];
  rmSync(objectOf(folder, first, '-00001'));
  renameSync(objectOf(folder, third, '_metadata'), join(folder, 'away'));
  const daemon = await daemonForTest();
  const { result } = await addAndScan(daemon, folder);
  expect(result).toMatchObject({ complete: 1, incomplete: 3, registered: 1 });
  const { backups } = result as { backups: { backup_id: string; is_complete: boolean; missing: string }[] };
  const missingOf = ({ id }: MadeBackup) => backups.find(({ backup_id }) => backup_id === id)?.missing ?? '?';
  expect(missingOf(full)).toBe('');
  expect(missingOf(first)).toContain(`${first.prefix}-00001`);
  expect(missingOf(second)).toContain(`parent "${first.id}"`);
  expect(missingOf(third)).toContain('metadata');
  rmSync(objectOf(folder, full, '_metadata'));
  const again = await daemon.done(daemon.call('repository.scan', { name: 'old' }));
  expect(again.result).toMatchObject({ complete: 0, incomplete: 4 });
});
