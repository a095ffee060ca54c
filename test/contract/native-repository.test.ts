import { randomBytes, randomUUID } from 'node:crypto';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { segmentBytes } from '../../daemon/base/limits.ts';
import type { Manifest } from '../../daemon/format/manifest.ts';
import { packsIn } from '../support/packs.ts';
import { fieldsOf, openTestRepository, temporaryFolder, withoutFiles } from '../support/repository.ts';
import { load, store } from '../support/stored-volume.ts';

const never = new AbortController().signal;

const sample = (): Buffer =>
  Buffer.concat([
    randomBytes(3 * MiB),
    Buffer.alloc(5 * MiB),
    Buffer.alloc(2 * MiB, 'basalt'),
    randomBytes(100_001),
  ]);

test.each([16, 32, 64, 128, 256])(
  'what was stored in blocks of %i KiB comes back byte for byte',
  async (size) => {
    const folder = await temporaryFolder();
    await using opened = await openTestRepository(folder, { blockBytes: size * KiB });
    const bytes = sample();
    const manifest = await store(opened.repository, folder, bytes);
    const loaded = await load(opened.repository, manifest);
    expect(loaded.damaged).toEqual([]);
    expect(loaded.bytes.equals(bytes)).toBe(true);
  },
);

test('a comparison ends before the next page once nobody wants it, also within one range', async () => {
  const gone = new AbortController();
  let [reads, comparing] = [0, false];
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder, {
    blockBytes: 16 * KiB,
    wrap: (storage) => ({
      ...withoutFiles(storage),
      read: (key, position, output) => {
        reads += 1;
        // Whoever asked goes away while the first page is read.
        if (comparing) gone.abort(new Error('gone'));
        return storage.read(key, position, output);
      },
    }),
  });
  // Five leaves each, and all of the volume differs: one range, which would come out at the end.
  const a = await store(opened.repository, folder, randomBytes(40 * MiB));
  const b = await store(opened.repository, folder, randomBytes(40 * MiB));
  [reads, comparing] = [0, true];
  const found: unknown[] = [];
  const compare = async () => {
    for await (const range of opened.repository.differences(a, b, gone.signal)) found.push(range);
  };
  await expect(compare()).rejects.toThrow('gone');
  expect(found).toEqual([]);
  // The two roots, and none of the ten leaves.
  expect(reads).toBe(2);
});

test('a map of several levels is built, walked and compared', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder, { blockBytes: 16 * KiB });
  // A leaf covers 8 MiB of blocks of 16 KiB: 40 MiB is five leaves under one page.
  const bytes = Buffer.concat([randomBytes(9 * MiB), Buffer.alloc(20 * MiB), randomBytes(11 * MiB)]);
  const first = await store(opened.repository, folder, bytes);
  expect(first.map.height).toBe(2);
  expect((await load(opened.repository, first)).bytes.equals(bytes)).toBe(true);
  bytes.fill(7, 12 * MiB, 12 * MiB + 5);
  bytes.fill(0, MiB, 2 * MiB);
  const second = await store(opened.repository, folder, bytes);
  const third = await store(opened.repository, folder, bytes.subarray(0, 6 * MiB + 3));
  expect((await load(opened.repository, second)).bytes.equals(bytes)).toBe(true);
  const ranges = async (a: Manifest, b: Manifest) => {
    const found = [];
    for await (const range of opened.repository.differences(a, b, never)) found.push(range);
    return found;
  };
  const changed = [
    { offset: MiB, length: MiB },
    { offset: 12 * MiB, length: 16 * KiB },
  ];
  expect(await ranges(first, second)).toEqual(changed);
  expect(await ranges(second, first)).toEqual(changed);
  expect(await ranges(second, second)).toEqual([]);
  expect(third.map.height).toBe(1);
  expect(await ranges(third, second)).toEqual([{ offset: 6 * MiB, length: 34 * MiB }]);
});

test('the same volume again stores nothing', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const bytes = sample();
  const first = await store(opened.repository, folder, bytes);
  const packs = (await opened.repository.statistics()).packs;
  const second = await store(opened.repository, folder, bytes);
  expect(second.statistics.stored_bytes).toBe(0);
  expect(second.map.root).toBe(first.map.root);
  expect((await opened.repository.statistics()).packs).toBe(packs);
});

test('the index made anew from the packs gives the same bytes', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const bytes = sample();
  const manifest = await store(opened.repository, folder, bytes);
  // What is not known is looked for once, and not again at once: an unknown block must not list all packs at every read.
  await opened.index.clear();
  expect((await load(opened.repository, manifest)).damaged).toEqual([]);
  await opened.index.clear();
  expect((await load(opened.repository, manifest)).damaged.length).toBeGreaterThan(0);
  await opened.repository.rebuildIndex(() => undefined, new AbortController().signal);
  expect((await load(opened.repository, manifest)).bytes.equals(bytes)).toBe(true);
});

test('any flipped bit of a pack is reported, and never served', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const bytes = Buffer.concat([randomBytes(600 * KiB), Buffer.alloc(400 * KiB, 'text')]);
  const manifest = await store(opened.repository, folder, bytes);
  const [path] = packsIn(opened.root);
  const pack = await readFile(path ?? '');
  for (let at = 16; at < pack.length; at += 20_011) {
    const broken = Buffer.from(pack);
    broken.writeUInt8(broken.readUInt8(at) ^ (1 << (at % 8)), at);
    await writeFile(path ?? '', broken);
    const report = await opened.repository.check(
      { readData: true },
      () => undefined,
      new AbortController().signal,
    );
    expect(report.damagedPacks.length).toBe(1);
    const loaded = await load(opened.repository, manifest);
    for (const { offset, length } of loaded.damaged)
      bytes.copy(loaded.bytes, offset, offset, offset + length);
    expect(loaded.bytes.equals(bytes)).toBe(true);
    // What is damaged is named alike by both: a flip in the directory damages no block.
    const ranges = report.damagedBackups[0]?.ranges ?? [];
    expect(ranges.reduce((sum, range) => sum + range.length, 0)).toBe(
      loaded.damaged.reduce((sum, range) => sum + Math.min(range.length, bytes.length - range.offset), 0),
    );
  }
});

test('a block found corrupt is stored anew by the next backup, which mends the older one', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const bytes = randomBytes(300 * KiB);
  const manifest = await store(opened.repository, folder, bytes);
  const [path] = packsIn(opened.root);
  const pack = await readFile(path ?? '');
  pack.writeUInt8(pack.readUInt8(70_000) ^ 4, 70_000);
  await writeFile(path ?? '', pack);
  expect((await load(opened.repository, manifest)).damaged).toMatchObject([
    { offset: 64 * KiB, length: 64 * KiB },
  ]);
  await store(opened.repository, folder, bytes);
  const mended = await load(opened.repository, manifest);
  expect(mended.damaged).toEqual([]);
  expect(mended.bytes.equals(bytes)).toBe(true);
});

test('a pack that is gone is no reason to take its blocks for stored', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const bytes = randomBytes(2 * MiB);
  const manifest = await store(opened.repository, folder, bytes);
  for (const path of packsIn(opened.root)) await rm(path);
  expect((await load(opened.repository, manifest)).damaged.length).toBeGreaterThan(0);
  const again = await store(opened.repository, folder, bytes);
  expect((await load(opened.repository, again)).bytes.equals(bytes)).toBe(true);
});

test('a backup is not acknowledged while a block that it shares with another one is only claimed', async () => {
  const folder = await temporaryFolder();
  // The slowest level keeps the first writer in its call while the second one ends.
  await using opened = await openTestRepository(folder, { compressionLevel: 19 });
  const shared = randomBytes(64 * KiB);
  const text = Buffer.from(Array.from({ length: 40_000 }, (_, i) => `${i * 7919} basalt `).join(''));
  await writeFile(join(folder, 'a'), Buffer.concat([shared, text.subarray(0, 900 * KiB)]));
  await writeFile(join(folder, 'b'), shared);
  await using fileA = await open(join(folder, 'a'));
  await using fileB = await open(join(folder, 'b'));
  const a = await opened.repository.openWriter(MiB);
  const b = await opened.repository.openWriter(64 * KiB);
  const buffer = () => new Uint8Array(segmentBytes);
  const sealing = a.seal(
    { fd: fileA.fd, directFd: -1 },
    0,
    64 * KiB + text.subarray(0, 900 * KiB).length,
    buffer(),
    buffer(),
  );
  const claimed = () => opened.index.statistics().claims > 0;
  await expect.poll(claimed, { interval: 1 }).toBe(true);
  await b.seal({ fd: fileB.fd, directFd: -1 }, 0, 64 * KiB, buffer(), buffer());
  expect(b.counts().newBytes).toBe(0);
  const manifest = await b.finish(fieldsOf(randomUUID(), 64 * KiB));
  expect((await load(opened.repository, manifest)).damaged).toEqual([]);
  await sealing;
  await a.abort();
});

test('a whole copy in another pack is used after a check, and after a rebuild and the next backup', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const bytes = randomBytes(200 * KiB);
  const manifest = await store(opened.repository, folder, bytes);
  const [path] = packsIn(opened.root);
  const pack = await readFile(path ?? '');
  pack.writeUInt8(pack.readUInt8(70_000) ^ 4, 70_000);
  await writeFile(path ?? '', pack);
  expect((await load(opened.repository, manifest)).damaged.length).toBe(1);
  // Something else beside it, so that the mended copy comes into a pack of another name.
  await store(opened.repository, folder, Buffer.concat([bytes, randomBytes(64 * KiB)]));
  const signal = new AbortController().signal;
  for (let round = 0; round < 2; round += 1) {
    await opened.repository.rebuildIndex(() => undefined, signal);
    await opened.repository.check({ readData: true }, () => undefined, signal);
    expect((await load(opened.repository, manifest)).damaged).toEqual([]);
  }
  await opened.repository.rebuildIndex(() => undefined, signal);
  await load(opened.repository, manifest);
  await store(opened.repository, folder, bytes);
  expect((await load(opened.repository, manifest)).damaged).toEqual([]);
});

test('a block known to be corrupt is stored anew also after the index was opened again and made anew', async () => {
  const folder = await temporaryFolder();
  const bytes = randomBytes(200 * KiB);
  let manifest: Manifest;
  {
    await using opened = await openTestRepository(folder, { keep: true });
    manifest = await store(opened.repository, folder, bytes);
    const [path] = packsIn(opened.root);
    const pack = await readFile(path ?? '');
    pack.writeUInt8(pack.readUInt8(70_000) ^ 4, 70_000);
    await writeFile(path ?? '', pack);
    expect((await load(opened.repository, manifest)).damaged.length).toBe(1);
  }
  await using again = await openTestRepository(folder, { existing: true });
  await again.repository.rebuildIndex(() => undefined, new AbortController().signal);
  const second = await store(again.repository, folder, bytes);
  expect(second.statistics.new_bytes).toBe(64 * KiB);
  expect((await load(again.repository, manifest)).damaged).toEqual([]);
  expect((await store(again.repository, folder, bytes)).statistics.new_bytes).toBe(0);
});

test('a backup in the making is not gone on with where a block that it has is known to be corrupt', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const bytes = randomBytes(300 * KiB);
  const manifest = await store(opened.repository, folder, bytes);
  const writer = await opened.repository.openWriter(bytes.length);
  const input = new Uint8Array(segmentBytes);
  input.set(bytes);
  await writer.seal({ fd: -1, directFd: -1 }, 0, bytes.length, input, new Uint8Array(segmentBytes));
  const state = await writer.checkpoint();
  const { signal } = new AbortController();
  expect(await opened.repository.resumeWriter(state, signal)).toBeDefined();
  const [path] = packsIn(opened.root);
  const pack = await readFile(path ?? '');
  pack.writeUInt8(pack.readUInt8(70_000) ^ 4, 70_000);
  await writeFile(path ?? '', pack);
  expect((await load(opened.repository, manifest)).damaged.length).toBe(1);
  expect(await opened.repository.resumeWriter(state, signal)).toBe(undefined);
});

test('a manifest that could not be read again is refused, not acknowledged', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const writer = await opened.repository.openWriter(0);
  const fields = fieldsOf(randomUUID(), 0);
  const long = { ...fields, backup: { ...fields.backup, description: 'x'.repeat(5000) } };
  await expect(writer.finish(long)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});
