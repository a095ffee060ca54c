/** Blocks that are read in one native call, from packs that are open files. */

import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { segmentBytes } from '../../daemon/base/limits.ts';
import type { Storage } from '../../daemon/storage/storage.ts';
import { native } from '../../native/native.ts';
import { packsIn } from '../support/packs.ts';
import { openTestRepository, temporaryFolder } from '../support/repository.ts';
import { load, store } from '../support/stored-volume.ts';

const blockBytes = 64 * KiB;

/** The storage as it is, with a count of the packs that were read step by step. */
function counted(counts: { reads: number }) {
  return (bare: Storage): Storage => {
    const read = bare.read.bind(bare);
    bare.read = (key, position, output) => {
      counts.reads += key.startsWith('packs/') ? 1 : 0;
      return read(key, position, output);
    };
    return bare;
  };
}

test('blocks that lie in more packs than are kept open come back, without a step by step', async () => {
  const counts = { reads: 0 };
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder, { wrap: counted(counts) });
  // A pack each, with a block and its map.
  const blocks = Array.from({ length: 150 }, () => randomBytes(blockBytes));
  for (const block of blocks) await store(opened.repository, folder, block);
  expect(packsIn(opened.root).length).toBe(blocks.length);
  // Neighbours lie in packs that are far from each other, and all are named twice.
  const order = [...blocks.keys(), ...blocks.keys()].map((number) => (number * 37) % blocks.length);
  const bytes = Buffer.concat(order.flatMap((number) => blocks[number] ?? []));
  const manifest = await store(opened.repository, folder, bytes);
  counts.reads = 0;
  expect((await load(opened.repository, manifest)).bytes.equals(bytes)).toBe(true);
  expect(counts.reads).toBe(0);
});

test('any part of a volume comes back the same, past the page cache and through it', async () => {
  const counts = { reads: 0 };
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder, { wrap: counted(counts) });
  // What does not shrink leaves no room around what is read; text and zeros leave much.
  const kinds = [randomBytes(blockBytes), Buffer.alloc(blockBytes), Buffer.alloc(blockBytes, 'basalt ')];
  const bytes = Buffer.concat(
    Array.from({ length: 8 * 16 }, (_, number) => {
      const block = Buffer.from(kinds[(number * 7 + (number >> 4)) % kinds.length] ?? []);
      if (number % 5 !== 0) block.writeUInt32LE(number, number);
      return block;
    }),
  );
  const manifest = await store(opened.repository, folder, bytes);
  const memory = { output: native.allocateArena(segmentBytes), scratch: native.allocateArena(segmentBytes) };
  const part = fc.record({
    random: fc.boolean(),
    first: fc.nat(8 * 16 - 1),
    count: fc.integer({ min: 1, max: 16 }),
  });
  counts.reads = 0;
  await fc.assert(
    fc.asyncProperty(part, async ({ random, first, count }) => {
      const blocks = Math.min(count, 16 - (first % 16));
      const output = new Uint8Array(memory.output, 0, blocks * blockBytes).fill(0xff);
      const scratch = new Uint8Array(memory.scratch, 0, blocks * blockBytes);
      const image = opened.repository.openImage(manifest, { random });
      expect(await image.read(first * blockBytes, output, scratch)).toEqual([]);
      const expected = bytes.subarray(first * blockBytes, (first + blocks) * blockBytes);
      expect(expected.equals(output)).toBe(true);
    }),
    { numRuns: 150 },
  );
  expect(counts.reads).toBe(0);
});

test('a pack that was replaced is noticed: damage is told, and what is whole again is read', async () => {
  const folder = await temporaryFolder();
  await using opened = await openTestRepository(folder);
  const bytes = randomBytes(MiB);
  const manifest = await store(opened.repository, folder, bytes);
  const read = async () => {
    const output = new Uint8Array(MiB);
    const image = opened.repository.openImage(manifest);
    const damaged = await image.read(0, output, new Uint8Array(MiB));
    return { damaged: damaged.length, isRight: bytes.equals(output) };
  };
  expect(await read()).toEqual({ damaged: 0, isRight: true });
  const [path = ''] = packsIn(opened.root);
  const whole = readFileSync(path);
  const replace = (contents: Buffer) => {
    writeFileSync(`${path}.new`, contents);
    renameSync(`${path}.new`, path);
  };
  const broken = Buffer.from(whole);
  broken.fill(0, 3 * blockBytes, 4 * blockBytes);
  replace(broken);
  // An open file is trusted for a moment.
  await pause(600);
  expect(await read()).toEqual({ damaged: 2, isRight: false });
  replace(whole);
  await pause(600);
  expect(await read()).toEqual({ damaged: 0, isRight: true });
});
