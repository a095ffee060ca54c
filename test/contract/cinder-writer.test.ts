/** Backups written in Cinder's format, read by a second reader in another language that knows the format alone. */

import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import type { BackupManifest } from '../../daemon/format/manifest.ts';
import { FullBackupNeeded } from '../../daemon/repository/repository.ts';
import { checkChunked, restoreChunked, type Write, writeChunked } from '../support/cinder-repository.ts';
import { temporaryFolder } from '../support/repository.ts';

let root: string;
beforeEach(async () => {
  root = await temporaryFolder();
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Random data, text, long and short zeros, and a last block that is not whole. */
const sample = (): Buffer =>
  Buffer.concat([
    randomBytes(1 * MiB + 64 * KiB),
    Buffer.alloc(960 * KiB, 'basalt keeps blocks. '),
    Buffer.alloc(3 * MiB),
    randomBytes(512 * KiB),
    Buffer.alloc(512 * KiB),
    randomBytes(70_001),
  ]);

/** What a Cinder makes of it, an old one and a new one. */
async function expectRestored(manifest: BackupManifest, bytes: Buffer): Promise<void> {
  const { faults, hashes } = await checkChunked(root, manifest.backup.id);
  expect(faults).toEqual([]);
  expect(hashes).toBeGreaterThan(0);
  for (const isNew of [false, true])
    expect((await restoreChunked(root, manifest.backup.id, isNew)).equals(bytes), `new: ${isNew}`).toBe(true);
}

const writes: readonly Write[] = [
  { compression: 'zlib', object_bytes: 50 * MiB, hash_block_bytes: 32 * KiB },
  { compression: 'bz2', object_bytes: 2 * MiB, hash_block_bytes: 64 * KiB },
  { compression: 'zstd', object_bytes: 1 * MiB + 32 * KiB, hash_block_bytes: 32 * KiB },
  { compression: 'none', object_bytes: 3 * 32 * KiB, hash_block_bytes: 32 * KiB },
  { compression: 'zlib', object_bytes: 4 * KiB * 100, hash_block_bytes: 4 * KiB },
];

test.each(writes)('a full backup with $compression, objects of $object_bytes', async (write) => {
  const bytes = sample();
  const manifest = await writeChunked(root, write, bytes);
  expect(manifest.object_count).toBe(Math.ceil(bytes.length / write.object_bytes));
  await expectRestored(manifest, bytes);
  // Nothing is left beside the backup.
  expect(await readdir(join(root, 'basalt-tmp'))).toEqual([]);
});

test('a backup can be given up until all of it but the names is made, and then nothing of it is left', async () => {
  const made: string[][] = [];
  const giveUp = () => {
    const workshop = join(root, 'basalt-tmp');
    made.push(readdirSync(workshop, { recursive: true }).map((name) => basename(String(name))));
    throw new Error('given up');
  };
  const write = { compression: 'none', object_bytes: 3 * MiB, hash_block_bytes: 32 * KiB } as const;
  await expect(writeChunked(root, write, sample(), undefined, giveUp)).rejects.toThrow('given up');
  expect(made).toEqual([expect.arrayContaining(['1', '2', '3', 'sha256file', 'metadata'])]);
  expect((await readdir(root)).filter((name) => !name.startsWith('.'))).toEqual(['basalt-tmp']);
  expect(await readdir(join(root, 'basalt-tmp'))).toEqual([]);
});

test.each(writes.slice(0, 4))(
  'a chain with short zeroed runs, $compression, objects of $object_bytes',
  async (write) => {
    const bytes = sample();
    let parent = await writeChunked(root, write, bytes);
    // One of the algorithms goes further, so that the others need not.
    const rounds = write.compression === 'zstd' ? 3 : 1;
    for (let round = 1; round <= rounds; round += 1) {
      const block = write.hash_block_bytes;
      randomBytes(5 * block).copy(bytes, round * 7 * block);
      bytes.fill(0, round * 5 * block + block, round * 5 * block + 4 * block);
      bytes.fill(0, 1 * MiB + round * 100_000, 1 * MiB + round * 100_000 + 300_000);
      randomBytes(10).copy(bytes, 4 * MiB + round * 200_000);
      bytes.fill(round, bytes.length - 3);
      const made = await writeChunked(root, write, bytes, parent);
      expect(made.backup.parent_id).toBe(parent.backup.id);
      await expectRestored(made, bytes);
      parent = made;
    }
    if (rounds === 1) return;
    const same = await writeChunked(root, write, bytes, parent);
    expect(same.object_count).toBe(0);
    await expectRestored(same, bytes);
  },
);

test('what did not shrink is stored raw, and says so', async () => {
  const write: Write = { compression: 'zlib', object_bytes: 2 * MiB, hash_block_bytes: 32 * KiB };
  const bytes = Buffer.concat([randomBytes(2 * MiB), Buffer.alloc(2 * MiB, 'text '), randomBytes(MiB + 1)]);
  const manifest = await writeChunked(root, write, bytes);
  expect((await checkChunked(root, manifest.backup.id)).compressions).toEqual(['none', 'zlib']);
  await expectRestored(manifest, bytes);
});

test('a long zeroed run asks for a full backup, and nothing of the attempt is left', async () => {
  const write: Write = { compression: 'zstd', object_bytes: 50 * MiB, hash_block_bytes: 32 * KiB };
  const bytes = randomBytes(6 * MiB);
  const parent = await writeChunked(root, write, bytes);
  bytes.fill(0, 2 * MiB, 5 * MiB);
  await expect(writeChunked(root, write, bytes, parent)).rejects.toBeInstanceOf(FullBackupNeeded);
  expect(await readdir(join(root, 'basalt-tmp'))).toEqual([]);
  const names = await readdir(root, { recursive: true });
  expect(names.filter((name) => name.includes('_backup_') && !name.includes(parent.backup.id))).toEqual([]);
});

test('an empty volume is a backup without objects', async () => {
  const write: Write = { compression: 'zlib', object_bytes: 1 * MiB, hash_block_bytes: 32 * KiB };
  const manifest = await writeChunked(root, write, Buffer.alloc(0));
  expect(manifest.object_count).toBe(0);
  expect(await checkChunked(root, manifest.backup.id)).toMatchObject({ faults: [], objects: 0, hashes: 0 });
});

test('objects of zeros alone are made once', async () => {
  const write: Write = { compression: 'zlib', object_bytes: 4 * MiB, hash_block_bytes: 32 * KiB };
  const bytes = Buffer.alloc(64 * MiB);
  bytes.fill('end', bytes.length - 100);
  const begun = performance.now();
  const manifest = await writeChunked(root, write, bytes);
  expect(performance.now() - begun).toBeLessThan(5000);
  await expectRestored(manifest, bytes);
});
