/** The index of the addon by itself: packs in one go, and packs that go. */

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type BlockIndex, native } from '../../native/native.ts';

const entryBytes = 48;

function openIndex(): BlockIndex {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-index-'));
  const index = native.openIndex(join(folder, 'index'), 2 ** 30);
  onTestFinished(() => {
    index.close();
    rmSync(folder, { recursive: true });
  });
  return index;
}

/** A directory in which block `i` lies at `first + i`. */
function directory(addresses: readonly Buffer[], first: number): Buffer {
  const made = Buffer.alloc(addresses.length * entryBytes);
  for (const [i, address] of addresses.entries()) {
    address.copy(made, i * entryBytes);
    made.writeUInt32LE(first + i, i * entryBytes + 32);
    made.writeUInt32LE(65536, i * entryBytes + 36);
    made.writeUInt32LE(65536 + 2 ** 24, i * entryBytes + 40);
  }
  return made;
}

interface Pack {
  readonly name: Buffer;
  readonly directory: Buffer;
}

function addAll(index: BlockIndex, packs: readonly Pack[], verified = false): Promise<void> {
  const counts = Buffer.alloc(packs.length * 4);
  for (const [i, pack] of packs.entries()) counts.writeUInt32LE(pack.directory.length / entryBytes, i * 4);
  const names = Buffer.concat(packs.map(({ name }) => name));
  return index.addPacks(names, Buffer.concat(packs.map((pack) => pack.directory)), counts, verified);
}

/** The name of the pack and the offset of each block; undefined where it is not known. */
function placesOf(index: BlockIndex, addresses: readonly Buffer[]): (string | undefined)[] {
  const locations = Buffer.alloc(addresses.length * 16);
  index.locate(Buffer.concat(addresses), locations);
  return addresses.map((_, i) => {
    if (locations.readUInt32LE(i * 16 + 12) === 0) return undefined;
    const name = index.packName(locations.readUInt32LE(i * 16))?.toString('hex');
    return `${name} ${locations.readUInt32LE(i * 16 + 4)}`;
  });
}

const addresses = (count: number): Buffer[] => Array.from({ length: count }, () => randomBytes(32));
const place = ({ name }: Pack, offset: number): string => `${name.toString('hex')} ${offset}`;

test('packs added in one go are found block by block, and of two with one block the first keeps it', async () => {
  const index = openIndex();
  const blocks = addresses(10);
  const first = { name: randomBytes(32), directory: directory(blocks.slice(0, 6), 100) };
  const second = { name: randomBytes(32), directory: directory(blocks.slice(4), 200) };
  await addAll(index, [first, second]);
  const expected = blocks.map((_, i) => (i < 6 ? place(first, 100 + i) : place(second, 200 + i - 4)));
  expect(placesOf(index, blocks)).toEqual(expected);
  expect(index.statistics()).toMatchObject({ blocks: 10, packs: 2 });
  // Once more changes nothing, and gives no pack a second number.
  await addAll(index, [second, first]);
  expect(placesOf(index, blocks)).toEqual(expected);
  expect(index.statistics()).toMatchObject({ blocks: 10, packs: 2 });
});

test('every block of a large index is found, its neighbours are not', async () => {
  const index = openIndex();
  const blocks = addresses(60_000);
  for (let at = 0; at < blocks.length; at += 2000)
    await addAll(index, [{ name: randomBytes(32), directory: directory(blocks.slice(at, at + 2000), at) }]);
  const sorted = blocks.toSorted((a, b) => a.compare(b));
  // Beside each address there is nothing: the next one up, and the ends of the whole range.
  const beside = sorted.map((address) => {
    const next = Buffer.from(address);
    next.writeUInt8((next.readUInt8(31) + 1) % 256, 31);
    return next;
  });
  beside.push(Buffer.alloc(32, 0), Buffer.alloc(32, 255));
  expect(placesOf(index, sorted).every((found) => found !== undefined)).toBe(true);
  expect(placesOf(index, beside).every((found) => found === undefined)).toBe(true);
  expect(placesOf(index, blocks).map((found) => Number(found?.split(' ')[1]))).toEqual(
    blocks.map((_, i) => i),
  );
});

test('an index that is written to answers look-ups from one whole state or the next', async () => {
  const index = openIndex();
  const blocks = addresses(3000);
  await addAll(index, [{ name: randomBytes(32), directory: directory(blocks, 0) }]);
  const state = { ended: false };
  const writing = (async () => {
    for (let round = 0; round < 30; round += 1)
      await addAll(index, [{ name: randomBytes(32), directory: directory(addresses(500), 0) }]);
  })();
  void writing.finally(() => {
    state.ended = true;
  });
  while (!state.ended) {
    expect(placesOf(index, blocks).filter((found) => found === undefined)).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await writing;
});

test('a verified pack mends the blocks that were under suspicion, wherever it comes in the row', async () => {
  const index = openIndex();
  const blocks = addresses(3);
  const old = { name: randomBytes(32), directory: directory(blocks, 0) };
  const other = { name: randomBytes(32), directory: directory(addresses(2), 0) };
  const whole = { name: randomBytes(32), directory: directory(blocks.slice(1), 50) };
  await addAll(index, [old]);
  index.suspect(Buffer.concat(blocks.slice(1, 2)));
  await addAll(index, [other, whole], true);
  expect(placesOf(index, blocks)).toEqual([place(old, 0), place(whole, 50), place(old, 2)]);
});

test('packs that go take their blocks with them and no others, however many there are', async () => {
  const index = openIndex();
  const kept = addresses(6000);
  const gone = addresses(12_000);
  const packs = [kept.slice(0, 3000), gone.slice(0, 7000), kept.slice(3000), gone.slice(7000)].map(
    (blocks) => ({ name: randomBytes(32), directory: directory(blocks, 0) }),
  );
  await addAll(index, packs);
  const unknown = randomBytes(32);
  await index.dropPacks(Buffer.concat([packs[1]?.name ?? unknown, unknown, packs[3]?.name ?? unknown]));
  expect(placesOf(index, gone).every((found) => found === undefined)).toBe(true);
  expect(placesOf(index, kept).every((found) => found !== undefined)).toBe(true);
  expect(index.statistics()).toMatchObject({ blocks: 6000, packs: 2 });
});

test('counts that do not fit the entries are refused, and nothing is added', () => {
  const index = openIndex();
  const counts = Buffer.alloc(4, 0);
  counts.writeUInt32LE(3);
  const entries = directory(addresses(2), 0);
  expect(() => index.addPacks(randomBytes(32), entries, counts, false)).toThrow('counts');
  expect(() => index.addPacks(randomBytes(31), entries, counts, false)).toThrow('counts');
  expect(index.statistics()).toMatchObject({ blocks: 0, packs: 0 });
});
