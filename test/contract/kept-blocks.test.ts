/** What a writer takes over from the parent of a backup, and what it leaves to be read. */

import { randomBytes, randomUUID } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { segmentBytes } from '../../daemon/base/limits.ts';
import type { Manifest } from '../../daemon/format/manifest.ts';
import type { Repository } from '../../daemon/repository/repository.ts';
import { fieldsOf, openTestRepository, temporaryFolder } from '../support/repository.ts';
import { load, store } from '../support/stored-volume.ts';

const blockBytes = 16 * KiB;

interface Kept {
  readonly manifest: Manifest;
  /** Bytes that had to be read. */
  readonly sealed: number;
}

/** A backup of `bytes` that keeps all of the parent outside of `changed`, in order. */
async function keepAll(
  repository: Repository,
  folder: string,
  bytes: Buffer,
  parent: Manifest,
  changed: readonly (readonly [from: number, to: number])[] = [],
): Promise<Kept> {
  const path = join(folder, 'kept.img');
  await writeFile(path, bytes);
  const file = await open(path);
  const writer = await repository.openWriter(bytes.length);
  let [next, sealed] = [0, 0];
  const seal = async (from: number, to: number) => {
    for (let at = from; at < to; ) {
      const length = Math.min(to, (Math.floor(at / segmentBytes) + 1) * segmentBytes) - at;
      const [input, output] = [new Uint8Array(segmentBytes), new Uint8Array(segmentBytes)];
      await writer.seal({ fd: file.fd, directFd: -1 }, at, length, input, output);
      sealed += length;
      at += length;
    }
  };
  const keep = async (to: number) => {
    let at = next;
    for await (const piece of writer.keep?.(parent, next, to - next) ?? []) {
      expect(piece.offset).toBe(at);
      at += piece.length;
      if (!piece.kept) await seal(piece.offset, at);
    }
    expect(at).toBe(to);
  };
  for (const [from, to] of changed) {
    if (from > next) await keep(from);
    await seal(from, to);
    next = to;
  }
  if (next < bytes.length) await keep(bytes.length);
  await file.close();
  const manifest = await writer.finish(fieldsOf(randomUUID(), bytes.length));
  // A native repository gives the whole manifest.
  return { manifest: manifest as Manifest, sealed };
}

/** 40 MiB: five leaves under one page, of which one is zeros, and a last block that is not whole. */
const volume = (): Buffer =>
  Buffer.concat([
    randomBytes(11 * MiB),
    Buffer.alloc(14 * MiB),
    randomBytes(15 * MiB),
    Buffer.from('a short end'),
  ]);

async function opened() {
  const folder = await temporaryFolder();
  return { folder, opened: await openTestRepository(folder, { blockBytes }) };
}

test('a volume that did not change gets the same map without a read', async () => {
  const { folder, opened: own } = await opened();
  await using one = own;
  const bytes = volume();
  const parent = await store(one.repository, folder, bytes);
  const { manifest, sealed } = await keepAll(one.repository, folder, bytes, parent);
  expect(sealed).toBe(0);
  expect(manifest.map.root).toBe(parent.map.root);
  expect(manifest.statistics).toMatchObject({
    read_bytes: 0,
    new_bytes: 0,
    zero_bytes: parent.statistics.zero_bytes,
  });
});

test('changed blocks are read, the others of the same leaf are kept', async () => {
  const { folder, opened: own } = await opened();
  await using one = own;
  const bytes = volume();
  const parent = await store(one.repository, folder, bytes);
  const changed = [
    [blockBytes, 2 * blockBytes],
    [8 * MiB - blockBytes, 9 * MiB],
    [20 * MiB, 20 * MiB + blockBytes],
  ] as const;
  for (const [from, to] of changed) randomBytes(to - from).copy(bytes, from);
  const { manifest, sealed } = await keepAll(one.repository, folder, bytes, parent, changed);
  expect(sealed).toBe(3 * blockBytes + MiB);
  const loaded = await load(one.repository, manifest);
  expect(loaded.damaged).toEqual([]);
  expect(loaded.bytes.equals(bytes)).toBe(true);
  const whole = await store(one.repository, folder, bytes);
  expect(manifest.map.root).toBe(whole.map.root);
  expect(manifest.statistics.zero_bytes).toBe(whole.statistics.zero_bytes);
});

test('a leaf whose rest was zeros is not taken over as a whole where something is there now', async () => {
  const { folder, opened: own } = await opened();
  await using one = own;
  const bytes = Buffer.concat([randomBytes(2 * MiB), Buffer.alloc(4 * MiB)]);
  const parent = await store(one.repository, folder, bytes);
  randomBytes(MiB).copy(bytes, 3 * MiB);
  const { manifest } = await keepAll(one.repository, folder, bytes, parent, [[3 * MiB, 4 * MiB]]);
  expect((await load(one.repository, manifest)).bytes.equals(bytes)).toBe(true);
});

test('the parent may have been larger or smaller, also by levels of its map', async () => {
  const { folder, opened: own } = await opened();
  await using one = own;
  const bytes = volume();
  const parent = await store(one.repository, folder, bytes);
  const small = bytes.subarray(0, 5 * MiB + 100);
  const edge = 5 * MiB;
  const shrunk = await keepAll(one.repository, folder, small, parent, [[edge, small.length]]);
  expect((await load(one.repository, shrunk.manifest)).bytes.equals(small)).toBe(true);
  const grown = await keepAll(one.repository, folder, bytes, shrunk.manifest, [[edge, bytes.length]]);
  expect(grown.manifest.map.root).toBe(parent.map.root);
});

test('a block that no pack holds, or that is suspected, is left to be read, and mended', async () => {
  const { folder, opened: own } = await opened();
  await using one = own;
  const bytes = volume();
  const parent = await store(one.repository, folder, bytes);
  const { native } = await import('../../native/native.ts');
  const suspect = native.hash(bytes.subarray(3 * blockBytes, 4 * blockBytes));
  one.index.suspect(suspect);
  const first = await keepAll(one.repository, folder, bytes, parent);
  expect(first.sealed).toBe(blockBytes);
  // It is stored anew by now, and trusted again.
  expect((await keepAll(one.repository, folder, bytes, parent)).sealed).toBe(0);
  expect((await load(one.repository, first.manifest)).damaged).toEqual([]);
});

test('where the map of the parent is damaged everything below is left to be read', async () => {
  const { folder, opened: own } = await opened();
  await using one = own;
  const bytes = volume();
  const parent = await store(one.repository, folder, bytes);
  const broken = { ...parent, map: { ...parent.map, root: 'ab'.repeat(32) } };
  const { manifest, sealed } = await keepAll(one.repository, folder, bytes, broken);
  expect(sealed).toBe(bytes.length);
  expect(manifest.map.root).toBe(parent.map.root);
});
