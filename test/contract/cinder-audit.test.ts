/** The audit of Cinder repositories: what is damaged is named, and so is what a newer Cinder restores wrongly; nothing else. */

import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { Pool } from '../../daemon/memory/pool.ts';
import { auditBackups } from '../../daemon/repository/cinder/audit.ts';
import { Places } from '../../daemon/repository/cinder/places.ts';
import { StateFiles } from '../../daemon/repository/cinder/state-files.ts';
import type { AuditReport } from '../../daemon/repository/repository.ts';
import { ConfinedDirectory } from '../../daemon/storage/confined-directory.ts';
import { native } from '../../native/native.ts';
import { restoreChunked, writeChunked } from '../support/cinder-repository.ts';
import { temporaryFolder } from '../support/repository.ts';

const writer = fileURLToPath(new URL('../support/cinder/chunked_writer.py', import.meta.url));
const volumeId = 'aaaaaaaa-0000-4000-8000-000000000001';

let [root, state] = ['', ''];
beforeEach(async () => {
  [root, state] = [await temporaryFolder(), await temporaryFolder()];
});
afterEach(async () => {
  for (const folder of [root, state]) await rm(folder, { recursive: true, force: true });
});

/** A backup as Cinder makes it; gives its id. */
async function back(bytes: Buffer, parent?: string, ...more: string[]): Promise<string> {
  const id = randomUUID();
  const volume = join(state, 'volume.img');
  await writeFile(volume, bytes);
  const words = [writer, root, volume, volumeId, id, ...(parent === undefined ? [] : ['--parent', parent])];
  await promisify(execFile)('/usr/bin/python3', [...words, ...more]);
  return id;
}

async function audit(): Promise<AuditReport> {
  const containers = await ConfinedDirectory.open(root, 'cinder+file');
  const files = await StateFiles.open(join(state, randomUUID()), 64 * MiB);
  try {
    const pool = new Pool(new Uint8Array(native.allocateArena(16 * MiB)));
    const parts = { containers, files, pool, native, places: new Places(containers) };
    return await auditBackups(parts, () => undefined, new AbortController().signal);
  } finally {
    files.close();
    await containers.close();
  }
}

const folderOf = (id: string): string => join(root, id.slice(0, 2), id.slice(2, 4), id);

async function fileOf(id: string, ending: string): Promise<string> {
  const name = (await readdir(folderOf(id))).find((entry) => entry.endsWith(ending));
  return join(folderOf(id), name ?? 'there is none');
}

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  await writeFile(path, bytes);
}

const damagesOf = ({ findings }: AuditReport): string[] =>
  findings.filter(({ severity }) => severity === 'damage').map(({ name, reason }) => `${name}: ${reason}`);

test('a whole chain is whole, and what was read is counted', async () => {
  const bytes = Buffer.concat([randomBytes(2 * MiB), Buffer.alloc(MiB, 'text '), randomBytes(70_001)]);
  const full = await back(bytes);
  randomBytes(100_000).copy(bytes, 500_000);
  await back(bytes, full, '--compression', 'bz2');
  const own = await writeChunked(
    root,
    { compression: 'zstd', object_bytes: MiB, hash_block_bytes: 32 * KiB },
    bytes,
  );
  expect(own.object_count).toBe(4);
  const report = await audit();
  expect(report).toMatchObject({
    backupsChecked: 3,
    objectsChecked: 6,
    damages: 0,
    findings: [],
    wrongRestores: [],
  });
  expect(report.bytesChecked).toBe(2 * bytes.length + 4 * 32 * KiB);
});

/** Each damage, by itself, and what must be said about it. */
const damages: readonly (readonly [string, (full: string, child: string) => Promise<void>, RegExp])[] = [
  ['a flipped bit of a zlib object', async (full) => flip(await fileOf(full, '-00001'), 5000), /-00001: /],
  [
    'a flipped bit of a raw object',
    async (_, child) => flip(await fileOf(child, '-00001'), 77),
    /MD5 is .* in place of/,
  ],
  ['a cut object', async (_, child) => truncate(await fileOf(child, '-00001'), 1000), /-00001: /],
  ['a missing object', async (full) => rm(await fileOf(full, '-00002')), /-00002: it is missing/],
  [
    'a stray file',
    async (full) => writeFile(`${await fileOf(full, '-00002')}.tmp`, 'x'),
    /\.tmp: it is stray/,
  ],
  [
    'a stray object',
    async (full) => writeFile((await fileOf(full, '-00002')).replace(/2$/, '7'), 'x'),
    /-00007: it is stray/,
  ],
  [
    'a missing parent',
    async (full) => rm(folderOf(full), { recursive: true }),
    /its parent ".*" is not there/,
  ],
  ['an incomplete backup', async (full) => rm(await fileOf(full, '_metadata')), /the backup is incomplete/],
  [
    'a flipped hash of a block in an object',
    async (full) => {
      const path = await fileOf(full, '_sha256file');
      const text = await readFile(path, 'utf8');
      const at = text.indexOf('"sha256s": [') + 30;
      await writeFile(path, text.slice(0, at) + (text[at] === 'a' ? 'b' : 'a') + text.slice(at + 1));
    },
    /its SHA-256 is not that of the hash list/,
  ],
  [
    'a flipped hash of a block in no object',
    async (_, child) => {
      const path = await fileOf(child, '_sha256file');
      const text = await readFile(path, 'utf8');
      const at = text.indexOf('\n  ]') - 10;
      await writeFile(path, text.slice(0, at) + (text[at] === 'a' ? 'b' : 'a') + text.slice(at + 1));
    },
    /no object covers it, and the hash list says that it has changed/,
  ],
  [
    'a wrong MD5',
    async (full) => {
      const path = await fileOf(full, '_metadata');
      const text = await readFile(path, 'utf8');
      await writeFile(
        path,
        text.replace(/"md5": "./, (found) => found.slice(0, -1) + (found.endsWith('a') ? 'b' : 'a')),
      );
    },
    /MD5 is .* in place of/,
  ],
  [
    'a hole',
    async (full) => {
      const path = await fileOf(full, '_metadata');
      const value = JSON.parse(await readFile(path, 'utf8')) as { objects: unknown[] };
      value.objects.splice(1, 1);
      await writeFile(path, JSON.stringify(value, undefined, 2));
      await rm(await fileOf(full, '-00002'));
    },
    /no object covers it, and the hash list says that it has data/,
  ],
  [
    'objects over each other',
    async (full) => {
      const path = await fileOf(full, '_metadata');
      const text = await readFile(path, 'utf8');
      await writeFile(path, text.replace(/"offset": 1048576/, '"offset": 524288'));
    },
    /overlap/,
  ],
  [
    'parents in a circle',
    async (full, child) => {
      const path = await fileOf(full, '_metadata');
      const text = await readFile(path, 'utf8');
      await writeFile(path, text.replace('"parent_id": null', `"parent_id": "${child}"`));
    },
    /its parents run in a circle/,
  ],
];

test.each(damages)('%s is found', async (_, damage, expected) => {
  const bytes = Buffer.concat([Buffer.alloc(MiB, 'basalt '), randomBytes(MiB)]);
  for (let at = 0; at < MiB; at += 100) bytes.writeUInt32LE((at * 2654435761) % 2 ** 32, at);
  const full = await back(bytes, undefined, '--object', String(MiB));
  randomBytes(32 * KiB).copy(bytes, 64 * KiB);
  const child = await back(bytes, full, '--object', String(MiB));
  expect((await audit()).damages).toBe(0);
  await damage(full, child);
  const report = await audit();
  expect(report.damages).toBeGreaterThan(0);
  expect(damagesOf(report).join('\n')).toMatch(expected);
});

/** Bytes in which what a newer Cinder makes of a backup differs from what it was. */
async function differing(id: string, bytes: Buffer): Promise<number[]> {
  const restored = await restoreChunked(root, id, true);
  const wrong: number[] = [];
  for (let at = 0; at < bytes.length; at += 1) if ((restored[at] ?? 0) !== bytes[at]) wrong.push(at);
  return wrong;
}

test('every backup that a newer Cinder restores wrongly is named with its bytes, and its children too', async () => {
  const bytes = randomBytes(6 * MiB);
  const points: { id: string; bytes: Buffer }[] = [];
  const add = async () =>
    points.push({ id: await back(bytes, points.at(-1)?.id), bytes: Buffer.from(bytes) });
  await add();
  bytes.fill(0, 1 * MiB, 4 * MiB);
  bytes.fill(0, 5 * MiB, 5 * MiB + 32 * KiB);
  await add();
  randomBytes(10).copy(bytes, 0);
  await add();
  randomBytes(32 * KiB).copy(bytes, 2 * MiB);
  await add();
  const { wrongRestores, damages: none } = await audit();
  expect(none).toBe(0);
  for (const point of points) {
    const named = wrongRestores.find(({ backupId }) => backupId === point.id);
    const wrong = await differing(point.id, point.bytes);
    const inside = (at: number) =>
      named?.ranges.some(({ offset, length }) => at >= offset && at < offset + length) ?? false;
    expect(wrong.every(inside)).toBe(true);
    // A byte of old data may be zero by chance; nothing else is named for nothing.
    expect(wrong.length).toBeGreaterThanOrEqual((named?.bytes ?? 0) * 0.99);
  }
  expect(wrongRestores.map(({ bytes: count }) => count)).toEqual([
    3 * MiB + 32 * KiB,
    3 * MiB + 32 * KiB,
    3 * MiB,
  ]);
});

test('a backup of a volume that shrank is not named for what is wrong in its parent behind its end', async () => {
  const bytes = randomBytes(4 * MiB);
  const full = await back(bytes);
  bytes.fill(0, 3 * MiB - 64 * KiB);
  const zeroed = await back(bytes, full);
  const across = await back(bytes.subarray(0, 3 * MiB), zeroed);
  const before = await back(bytes.subarray(0, 2 * MiB), across);
  const { wrongRestores, damages } = await audit();
  expect(damages).toBe(0);
  const named = new Map(wrongRestores.map(({ backupId, ranges }) => [backupId, ranges]));
  expect(named.get(zeroed)).toEqual([{ offset: 3 * MiB - 64 * KiB, length: MiB + 64 * KiB }]);
  expect(named.get(across)).toEqual([{ offset: 3 * MiB - 64 * KiB, length: 64 * KiB }]);
  expect(named.has(before)).toBe(false);
});

test('a file that ends in zeros is noted, and no damage', async () => {
  const id = await back(Buffer.concat([randomBytes(MiB), Buffer.alloc(2 * MiB)]));
  const report = await audit();
  expect([report.damages, report.wrongRestores.length]).toEqual([0, 0]);
  expect(report.shortFiles).toEqual([{ backupId: id, sizeBytes: 3 * MiB, fileBytes: MiB }]);
});

test('nothing in the repository is touched', async () => {
  const id = await back(randomBytes(MiB));
  const before = await stat(folderOf(id));
  await rename(await fileOf(id, '_sha256file'), join(root, 'elsewhere'));
  const names = await readdir(root, { recursive: true });
  await audit();
  expect(await readdir(root, { recursive: true })).toEqual(names);
  expect((await stat(folderOf(id))).ino).toBe(before.ino);
});
