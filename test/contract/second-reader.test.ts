/** A program in another language, written from FORMAT.md alone, reads what the repository wrote: byte for byte, or not at all. */

import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { segmentBytes } from '../../daemon/base/limits.ts';
import { manifestKey } from '../../daemon/format/layout.ts';
import type { Manifest } from '../../daemon/format/manifest.ts';
import { packHeaderBytes, packTrailerBytes } from '../../daemon/format/pack.ts';
import type { NativeRepository } from '../../daemon/repository/native/native-repository.ts';
import { fieldsOf, openTestRepository, temporaryFolder } from '../support/repository.ts';

const reader = fileURLToPath(new URL('../support/second_reader.py', import.meta.url));

/** Runs the second reader; a status other than 0 is no failure of the test. */
async function runReader(...words: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  return promisify(execFile)('/usr/bin/python3', [reader, ...words]).then(
    ({ stdout, stderr }) => ({ status: 0, stdout, stderr }),
    (thrown: { code: number; stdout: string; stderr: string }) => ({ ...thrown, status: thrown.code }),
  );
}

async function store(
  repository: NativeRepository,
  folder: string,
  bytes: Buffer,
  parent?: Manifest,
): Promise<Manifest> {
  const path = join(folder, 'volume.img');
  await writeFile(path, bytes);
  const file = await open(path);
  try {
    const writer = await repository.openWriter(bytes.length);
    const input = new Uint8Array(segmentBytes);
    const output = new Uint8Array(segmentBytes);
    for (let at = 0; at < bytes.length; at += segmentBytes) {
      await writer.seal(
        { fd: file.fd, directFd: -1 },
        at,
        Math.min(segmentBytes, bytes.length - at),
        input,
        output,
      );
    }
    const fields = fieldsOf(randomUUID(), bytes.length);
    const backup = { ...fields.backup, parent_id: parent?.backup.id ?? null };
    return await writer.finish({ ...fields, backup });
  } finally {
    await file.close();
  }
}

/** What the second reader makes of a backup. */
async function restore(root: string, folder: string, manifest: Manifest): Promise<Buffer> {
  const output = join(folder, `${manifest.backup.id}.img`);
  const { status, stderr } = await runReader('restore', root, manifest.backup.id, output);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return readFile(output);
}

async function onlyPack(root: string): Promise<string> {
  const names = await readdir(join(root, 'packs'), { recursive: true });
  const packs = names.filter((name) => name.endsWith('.pack'));
  expect(packs.length).toBe(1);
  return join(root, 'packs', packs[0] ?? '');
}

async function flipBit(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (at % 8)), at);
  await writeFile(path, bytes);
}

/** Random data, zeros, text, and a last block that is not whole. */
const sample = (): Buffer =>
  Buffer.concat([
    randomBytes(1 * MiB),
    Buffer.alloc(2 * MiB),
    Buffer.alloc(1 * MiB, 'basalt keeps blocks. '),
    randomBytes(100_001),
  ]);

test.each([16, 32, 64, 128, 256])(
  'the second reader restores an image of blocks of %i KiB byte for byte',
  async (size) => {
    const folder = await temporaryFolder();
    await using opened = await openTestRepository(folder, { blockBytes: size * KiB });
    const bytes = sample();
    const manifest = await store(opened.repository, folder, bytes);
    expect((await restore(opened.root, folder, manifest)).equals(bytes)).toBe(true);
  },
);

test('the second reader walks a map of two levels, with a leaf that is all zeros', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder, { blockBytes: 16 * KiB });
  // A leaf covers 8 MiB: leaf 1 is zeros, leaf 2 has one block at its end.
  const bytes = Buffer.alloc(24 * MiB + 5);
  randomBytes(MiB).copy(bytes, 3 * MiB);
  randomBytes(16 * KiB + 5).copy(bytes, 24 * MiB - 16 * KiB);
  const manifest = await store(opened.repository, folder, bytes);
  expect(manifest.map.height).toBe(2);
  expect((await restore(opened.root, folder, manifest)).equals(bytes)).toBe(true);
  const { blocks } = await stat(join(folder, `${manifest.backup.id}.img`));
  expect(blocks * 512).toBeLessThan(2 * MiB);
});

test.each([
  { what: 'a volume of no bytes', bytes: Buffer.alloc(0) },
  { what: 'a volume of three bytes', bytes: Buffer.from('abc') },
  { what: 'a volume of three zeros', bytes: Buffer.alloc(3) },
])('the second reader restores $what', async ({ bytes }) => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const manifest = await store(opened.repository, folder, bytes);
  expect((await restore(opened.root, folder, manifest)).equals(bytes)).toBe(true);
});

test('the second reader restores every point in time, and the newer one without the older', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const before = sample();
  const full = await store(opened.repository, folder, before);
  const after = Buffer.from(before);
  after.fill(0, 100_000, 300_000);
  after.fill('new', 2 * MiB, 2 * MiB + 7);
  const incremental = await store(opened.repository, folder, after, full);
  expect((await restore(opened.root, folder, full)).equals(before)).toBe(true);
  expect((await restore(opened.root, folder, incremental)).equals(after)).toBe(true);

  const { stdout } = await runReader('list', opened.root);
  const byId = (a: Manifest, b: Manifest) => (a.backup.id < b.backup.id ? -1 : 1);
  expect(JSON.parse(stdout)).toEqual([full, incremental].sort(byId));

  await opened.repository.removeManifest(full.backup.id);
  expect((await runReader('restore', opened.root, full.backup.id, join(folder, 'none'))).status).toBe(66);
  expect((await restore(opened.root, folder, incremental)).equals(after)).toBe(true);
});

/** A repository with one backup in one pack, and where the parts of that pack are. */
async function openDamageable(folder: string) {
  const opened = await openTestRepository(folder);
  const manifest = await store(opened.repository, folder, sample());
  const pack = await onlyPack(opened.root);
  const { size } = await stat(pack);
  const trailer = (await readFile(pack)).subarray(size - packTrailerBytes);
  const directory = Number(trailer.readBigUInt64LE(40));
  return { ...opened, manifest, pack, size, directory };
}

test.each([
  { part: 'the first block', at: () => packHeaderBytes + 7, sentence: /block [0-9a-f]{64} is damaged/ },
  { part: 'the last page', at: ({ directory }) => directory - 3, sentence: /block [0-9a-f]{64} is damaged/ },
  { part: 'an address', at: ({ directory }) => directory + 5, sentence: /the directory of .* is damaged/ },
  {
    part: 'a stored length',
    at: ({ directory }) => directory + 37,
    sentence: /the directory of .* is damaged/,
  },
  { part: 'the digest at the end', at: ({ size }) => size - 64, sentence: /is not the digest/ },
  { part: 'the number of entries', at: ({ size }) => size - 32, sentence: /the length of/ },
  { part: 'the last magic', at: ({ size }) => size - 1, sentence: /does not end as a pack does/ },
] satisfies {
  part: string;
  at: (pack: { size: number; directory: number }) => number;
  sentence: RegExp;
}[])('the second reader refuses a pack with one bit flipped in $part', async ({ at, sentence }) => {
  const folder = await temporaryFolder();
  await using opened = await openDamageable(folder);
  await flipBit(opened.pack, at(opened));
  const output = join(folder, 'output.img');
  const { status, stderr } = await runReader('restore', opened.root, opened.manifest.backup.id, output);
  expect(status).toBe(65);
  expect(stderr).toMatch(sentence);
});

test('the second reader refuses a pack that is cut off or missing', async () => {
  const folder = await temporaryFolder();
  await using opened = await openDamageable(folder);
  const words = ['restore', opened.root, opened.manifest.backup.id, join(folder, 'output.img')];
  const whole = await readFile(opened.pack);
  await writeFile(opened.pack, whole.subarray(0, -1));
  expect(await runReader(...words)).toMatchObject({ status: 65 });
  await rm(opened.pack);
  const missing = await runReader(...words);
  expect(missing).toMatchObject({ status: 65 });
  expect(missing.stderr).toMatch(/no pack holds block/);
  await writeFile(opened.pack, whole);
  expect(await runReader(...words)).toMatchObject({ status: 0 });
});

test('the second reader refuses a manifest or description with any bit flipped', async () => {
  const folder = await temporaryFolder();
  await using opened = await openDamageable(folder);
  const { manifest, root } = opened;
  const output = join(folder, 'output.img');
  for (const key of [manifestKey(manifest.backup.id), 'basalt-repository.json']) {
    const path = join(root, key);
    const whole = await readFile(path);
    for (const at of [
      0,
      40,
      Math.floor(whole.length / 2),
      whole.length - 66,
      whole.length - 20,
      whole.length - 1,
    ]) {
      await flipBit(path, at);
      const { status, stderr } = await runReader('restore', root, manifest.backup.id, output);
      expect({ at, status, stderr }).toMatchObject({ at, status: 65, stderr: /^Cannot read/ });
      await writeFile(path, whole);
    }
  }
  expect((await runReader('list', root)).status).toBe(0);
});

test('the second reader takes any copy of a block that is right', async () => {
  const folder = await temporaryFolder();
  await using opened = await openDamageable(folder);
  const bytes = await restore(opened.root, folder, opened.manifest);
  await flipBit(opened.pack, packHeaderBytes + 7);
  // A reader that meets the damage lets the next backup store the block anew.
  const image = opened.repository.openImage(opened.manifest, { fresh: true });
  const damaged = await image.read(0, new Uint8Array(segmentBytes), new Uint8Array(segmentBytes));
  expect(damaged.length).toBe(1);
  await store(opened.repository, folder, bytes);
  expect((await restore(opened.root, folder, opened.manifest)).equals(bytes)).toBe(true);
});
