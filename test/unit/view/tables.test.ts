/** Partition tables: made by sfdisk where it can, by hand where they must be wrong. */

import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KiB, MiB } from '../../../daemon/base/bytes.ts';
import { extendedRecordsMax, partitionsMax } from '../../../daemon/base/limits.ts';
import { bytesOf } from '../../../daemon/view/tables/image-bytes.ts';
import type { Partition, ReadBytes } from '../../../daemon/view/tables/range.ts';
import { readPartitions } from '../../../daemon/view/tables/table.ts';
import { expected as generated, generatedImage } from '../../support/view-source.ts';

const sizeBytes = 64 * MiB;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'basalt-tables-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The sectors of an image that are not zeros; reads of what is in `unreadable` fail. */
class Disk {
  readonly bytes = Buffer.alloc(sizeBytes);
  readonly unreadable: number[] = [];
  reads = 0;

  readonly read: ReadBytes = async (offset, length) => {
    this.reads += 1;
    expect(offset >= 0 && offset + length <= sizeBytes).toBe(true);
    if (this.unreadable.some((at) => at >= offset && at < offset + length)) throw new Error(`at ${offset}`);
    return this.bytes.subarray(offset, offset + length);
  };

  partitions(): Promise<Partition[]> {
    return readPartitions(this.read, sizeBytes);
  }

  async rows(): Promise<number[][]> {
    return (await this.partitions()).map(({ number, offset, sizeBytes: size }) => [number, offset, size]);
  }

  /** An entry of the table in the boot record, or of a record of the chain, at `offset`. */
  entry(offset: number, slot: number, type: number, start: number, count: number): this {
    const at = offset + 446 + slot * 16;
    this.bytes[at + 4] = type;
    this.bytes.writeUInt32LE(start, at + 8);
    this.bytes.writeUInt32LE(count, at + 12);
    this.bytes.writeUInt16LE(0xaa55, offset + 510);
    return this;
  }

  /** Makes the checksums of the first copy of a GPT right again. */
  sum(sectorBytes = 512): this {
    const header = this.bytes.subarray(sectorBytes);
    const start = Number(header.readBigUInt64LE(72)) * sectorBytes;
    const length = header.readUInt32LE(80) * header.readUInt32LE(84);
    header.writeUInt32LE(crc32(this.bytes.subarray(start, start + length)), 88);
    header.writeUInt32LE(0, 16);
    header.writeUInt32LE(crc32(header.subarray(0, header.readUInt32LE(12))), 16);
    return this;
  }
}

const made = new Map<string, Buffer>();

function sfdisk(sectorBytes: number, ...lines: string[]): Disk {
  const key = [sectorBytes, ...lines].join('\n');
  const start = made.get(key) ?? makeTable(sectorBytes, lines);
  made.set(key, start);
  const disk = new Disk();
  start.copy(disk.bytes, 0, 0, 24 * MiB);
  disk.bytes.set(start.subarray(-64 * KiB), sizeBytes - 64 * KiB);
  return disk;
}

/** The first 24 MiB of the disk and its last 64 KiB: the rest is zeros. */
function makeTable(sectorBytes: number, lines: string[]): Buffer {
  const path = join(folder, 'disk');
  writeFileSync(path, '');
  truncateSync(path, sizeBytes);
  const script = join(folder, 'script');
  writeFileSync(script, [...lines, ''].join('\n'));
  // The one reads the other's scripts, and it takes another size of sectors.
  const commands = ['I', script, 'w', ''].join('\n');
  execFileSync('fdisk', ['-b', String(sectorBytes), path], { input: commands, stdio: 'pipe' });
  const bytes = Buffer.alloc(24 * MiB + 64 * KiB);
  const file = openSync(path, 'r');
  readSync(file, bytes, 0, 24 * MiB, 0);
  readSync(file, bytes, 24 * MiB, 64 * KiB, sizeBytes - 64 * KiB);
  closeSync(file);
  return bytes;
}

const gpt = (sectorBytes: number): Disk =>
  sfdisk(
    sectorBytes,
    'label: gpt',
    `start=${(1 * MiB) / sectorBytes},size=${(8 * MiB) / sectorBytes}`,
    `7 : start=${(16 * MiB) / sectorBytes},size=${(4 * MiB) / sectorBytes}`,
  );
const gptRows = [
  [1, 1 * MiB, 8 * MiB],
  [7, 16 * MiB, 4 * MiB],
];

test.each([512, 4096])('a GPT with sectors of %i bytes is read, from either copy', async (sectorBytes) => {
  expect(await gpt(sectorBytes).rows()).toEqual(gptRows);

  const header = gpt(sectorBytes);
  header.bytes[sectorBytes + 40] = 0xff;
  expect(await header.rows()).toEqual(gptRows);

  const entries = gpt(sectorBytes);
  entries.bytes[2 * sectorBytes + 40] = 0xff;
  expect(await entries.rows()).toEqual(gptRows);

  const damaged = gpt(sectorBytes);
  damaged.unreadable.push(100, sectorBytes + 1);
  expect(await damaged.rows()).toEqual(gptRows);
});

test.each([512, 4096])(
  'a GPT of %i bytes a sector with no valid copy has no partitions',
  async (sectorBytes) => {
    const disk = gpt(sectorBytes);
    disk.bytes[sectorBytes + 40] = 0xff;
    disk.bytes[sizeBytes - sectorBytes + 40] = 0xff;
    expect(await disk.rows()).toEqual([]);
  },
);

test('a table that could not be read is a failure and not an empty one', async () => {
  const disk = gpt(512);
  disk.unreadable.push(513, sizeBytes - 1);
  await expect(disk.partitions()).rejects.toThrow('at 512');
  const nothing = new Disk();
  nothing.unreadable.push(0);
  await expect(nothing.partitions()).rejects.toThrow('at 0');
});

test('an old GPT that the boot record does not speak of is not looked at', async () => {
  const disk = gpt(512);
  disk.bytes.fill(0, 446, 510);
  disk.entry(0, 0, 0x83, 2048, 2048);
  expect(await disk.rows()).toEqual([[1, 1 * MiB, 1 * MiB]]);
});

test('numbers of a GPT that no image has are cut to the image, or left out', async () => {
  const disk = gpt(512);
  const entry = (at: number, first: bigint, last: bigint) => {
    disk.bytes[1024 + at * 128] = 1;
    disk.bytes.writeBigUInt64LE(first, 1024 + at * 128 + 32);
    disk.bytes.writeBigUInt64LE(last, 1024 + at * 128 + 40);
  };
  const huge = 2n ** 64n - 1n;
  entry(1, 0n, huge);
  entry(2, huge, huge);
  entry(3, 5000n, 4000n);
  entry(4, 2048n, 2048n);
  entry(5, BigInt(sizeBytes / 512), huge);
  expect(await disk.sum().rows()).toEqual([
    [1, 1 * MiB, 8 * MiB],
    [2, 0, sizeBytes],
    [5, 1 * MiB, 512],
    ...gptRows.slice(1),
  ]);
});

test.each([
  ['entries beyond the image', 72, 2 ** 31, 0],
  ['more entries than are read', 80, 1_000_000, 0],
  ['entries of no size', 84, 0, 0],
  ['a header that is larger than its sector', 12, 2 ** 32 - 1, 0],
])('a GPT with %s does not count', async (_, at, value) => {
  const disk = gpt(512);
  disk.bytes.fill(0, sizeBytes - 512);
  disk.bytes.writeUInt32LE(value, 512 + at);
  disk.bytes.writeUInt32LE(0, 512 + 16);
  const length = Math.min(92, disk.bytes.readUInt32LE(512 + 12));
  disk.bytes.writeUInt32LE(crc32(disk.bytes.subarray(512, 512 + length)), 512 + 16);
  expect(await disk.rows()).toEqual([]);
});

test('a GPT of very many partitions shows as many as Linux does', async () => {
  const disk = sfdisk(512, 'label: gpt', 'table-length: 1024', 'first-lba: 2048', 'start=2048,size=2048');
  for (let at = 1; at < 1024; at++) disk.bytes.copy(disk.bytes, 1024 + at * 128, 1024, 1024 + 128);
  const partitions = await disk.sum().partitions();
  expect([partitions.length, partitions.at(-1)?.number]).toEqual([partitionsMax, partitionsMax]);
});

test('an MBR with logical partitions is read as Linux counts them', async () => {
  const disk = sfdisk(
    512,
    'label: dos',
    '1 : start=2048,size=8192,type=83',
    '3 : start=20480,size=65536,type=5',
    '5 : start=22528,size=4096,type=83',
    '6 : start=28672,size=8192,type=82',
    '7 : start=40960,size=2048,type=83',
  );
  expect(await disk.rows()).toEqual([
    [1, 1 * MiB, 4 * MiB],
    [5, 11 * MiB, 2 * MiB],
    [6, 14 * MiB, 4 * MiB],
    [7, 20 * MiB, 1 * MiB],
  ]);
});

test('the chain of logical partitions tells that sectors are of 4096 bytes', async () => {
  const disk = sfdisk(
    4096,
    'label: dos',
    '1 : start=256,size=256,type=83',
    '2 : start=2048,size=4096,type=f',
    '5 : start=2304,size=256,type=83',
    '6 : start=3072,size=512,type=83',
  );
  expect(await disk.rows()).toEqual([
    [1, 1 * MiB, 1 * MiB],
    [5, 9 * MiB, 1 * MiB],
    [6, 12 * MiB, 2 * MiB],
  ]);
});

test('a chain of logical partitions that leads back into itself ends there', async () => {
  const disk = new Disk().entry(0, 0, 5, 2048, 100_000);
  disk.entry(2048 * 512, 0, 0x83, 64, 100).entry(2048 * 512, 1, 5, 1000, 1000);
  disk.entry(3048 * 512, 0, 0x83, 64, 200).entry(3048 * 512, 1, 5, 0, 1000);
  expect(await disk.rows()).toEqual([
    [5, (2048 + 64) * 512, 100 * 512],
    [6, (3048 + 64) * 512, 200 * 512],
  ]);
  expect(disk.reads).toBeLessThan(10);
});

test('a chain that does not end is followed so far and no further', async () => {
  const disk = new Disk().entry(0, 0, 5, 1, 100_000);
  for (let at = 0; at < 3 * extendedRecordsMax; at++)
    disk.entry((1 + at) * 512, 0, 0x83, 1, 1).entry((1 + at) * 512, 1, 5, at + 1, 1);
  expect((await disk.rows()).length).toBe(extendedRecordsMax);
  expect(disk.reads).toBeLessThan(extendedRecordsMax + 5);
});

test('links and ranges that lead out of the image or its extended partition are cut or not followed', async () => {
  const last = sizeBytes / 512 - 1;
  const disk = new Disk()
    .entry(0, 0, 0x83, last, 0xffff_ffff)
    .entry(0, 1, 0x83, 0xffff_ffff, 0xffff_ffff)
    .entry(0, 2, 5, 2048, 1000)
    .entry(2048 * 512, 0, 0x83, 0xffff_ffff, 10)
    .entry(2048 * 512, 1, 5, 1000, 10)
    .entry(3048 * 512, 0, 0x83, 1, 10);
  expect(await disk.rows()).toEqual([[1, last * 512, 512]]);
  const away = new Disk().entry(0, 0, 0x83, 2048, 8).entry(0, 1, 5, 0xffff_ffff, 0xffff_ffff);
  expect(await away.rows()).toEqual([[1, 1 * MiB, 8 * 512]]);
});

test('an unreadable record of the chain is a failure', async () => {
  const disk = new Disk().entry(0, 0, 0x83, 1, 10).entry(0, 1, 5, 2048, 1000);
  disk.entry(2048 * 512, 0, 0x83, 1, 10).entry(2048 * 512, 1, 5, 500, 10);
  disk.unreadable.push(2548 * 512);
  await expect(disk.partitions()).rejects.toThrow();
});

test('what is no table has no partitions', async () => {
  expect(await new Disk().rows()).toEqual([]);
  const boot = new Disk().entry(0, 0, 0x83, 2048, 2048);
  boot.bytes[446 + 16] = 0x41;
  expect(await boot.rows()).toEqual([]);
  const ntfs = new Disk().entry(0, 0, 0x83, 2048, 2048);
  ntfs.bytes.write('NTFS    ', 3, 'latin1');
  expect(await ntfs.rows()).toEqual([]);
  expect(await readPartitions(() => Promise.reject(new Error('read')), 511)).toEqual([]);
});

test.each([1, 7, 42])('flipped bits never lead out of the image (seed %i)', async (seed) => {
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const whole = sfdisk(512, 'label: dos', 'size=8192,type=83', 'type=5', 'size=4096', 'size=4096');
  const guid = gpt(512);
  for (let round = 0; round < 300; round++) {
    const disk = round % 2 === 0 ? whole : guid;
    const places =
      disk === whole
        ? [446 + random(66), 10_240 * 512 + 446 + random(66)]
        : [512 + random(92), 1024 + random(128)];
    const before = places.map((at) => disk.bytes[at] ?? 0);
    for (const at of places) disk.bytes[at] = random(256);
    if (disk === guid && round % 4 === 1 && disk.bytes.readUInt32LE(512 + 80) === 128) {
      disk.bytes.writeBigUInt64LE(2n, 512 + 72);
      disk.bytes.writeUInt32LE(128, 512 + 84);
      disk.bytes.writeUInt32LE(92, 512 + 12);
      disk.sum();
    }
    for (const { number, offset, sizeBytes: size } of await disk.partitions())
      expect([number > 0, offset >= 0, size > 0, offset + size <= sizeBytes]).toEqual([
        true,
        true,
        true,
        true,
      ]);
    places.forEach((at, index) => {
      disk.bytes[at] = before[index] ?? 0;
    });
  }
});

test('pieces of an image are read by whole blocks, and damage is a failure', async () => {
  const damaged = [{ offset: 192 * KiB, length: 64 * KiB, reason: 'made so' }];
  const offsets: number[] = [];
  const image = generatedImage(5, 1 * MiB, { damaged, before: async (offset) => void offsets.push(offset) });
  const read = bytesOf(image, new Uint8Array(256 * KiB));
  expect((await read(64 * KiB - 10, 30)).equals(generated(5, 64 * KiB - 10, 30))).toBe(true);
  expect((await read(64 * KiB, 8 * KiB)).equals(generated(5, 64 * KiB, 8 * KiB))).toBe(true);
  expect(offsets).toEqual([0, 64 * KiB]);
  await expect(read(192 * KiB - 1, 2)).rejects.toMatchObject({ code: 'CHUNK_CORRUPT' });
  expect((await read(256 * KiB, 4)).equals(generated(5, 256 * KiB, 4))).toBe(true);
});
