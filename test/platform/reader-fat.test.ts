/** The reader of FAT beside what mtools wrote, which is no code of ours. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { folderForTest, run, sparseFile } from '../support/devices.ts';
import { contentOf, differencesFromFolder, fillForFat } from '../support/fat-images.ts';
import { filesIn, findIn, openReader } from '../support/reader-images.ts';
import { expected } from '../support/view-source.ts';

const MiB = 2 ** 20;

/** One of mtools, on times as they are and names in UTF-8. */
const mtool = (name: string, image: string, ...words: string[]): string =>
  execFileSync(name, ['-i', image, ...words], {
    encoding: 'utf8',
    env: { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8', MTOOLS_SKIP_CHECK: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });

async function readerOf(image: string) {
  const reader = await openReader(image);
  onTestFinished(() => reader.close());
  return reader;
}

function imageOf(sizeBytes: number, ...options: string[]): string {
  const image = sparseFile(sizeBytes);
  run('mkfs.fat', '-i', '1234abcd', '-n', 'LABEL', ...options, image);
  return image;
}

test.each([
  [12, 4 * MiB, ['-s', '2'], 60],
  [12, 9 * MiB, ['-S', '4096', '-s', '2'], 60],
  [16, 24 * MiB, ['-s', '1'], 120],
  [32, 80 * MiB, ['-s', '2'], 250],
  [32, 300 * MiB, ['-f', '1'], 60],
] as const)(
  'FAT%i of %i bytes made with %j shows what was copied',
  { timeout: 60_000 },
  async (bits, size, options, many) => {
    const image = imageOf(size, '-F', String(bits), ...options);
    const folder = folderForTest();
    fillForFat(folder, many);
    // One by one and in an order of its own: a root that holds much, and folders that grow one beside the other.
    const top = readdirSync(folder).map((name) => `${folder}/${name}`);
    mtool('mcopy', image, '-s', '-m', ...top, '::/');
    mtool('mcopy', image, `${folder}/of 4096`, '::/to be deleted with a long name');
    mtool('mdel', image, '::/to be deleted with a long name');
    const reader = await readerOf(image);
    expect(reader.description).toMatchObject({ kind: 'vfat', label: 'LABEL', uuid: '1234-ABCD' });
    expect(reader.description.notes).toEqual([expect.stringContaining('UTC')]);
    expect(await differencesFromFolder(reader, folder, 2)).toEqual([]);
  },
);

test.each([
  [12, 2 * MiB, ['-s', '1']],
  [16, 12 * MiB, ['-s', '1']],
  [32, 36 * MiB, ['-s', '1']],
] as const)(
  'a file in pieces on FAT%i is read whole and from any place',
  { timeout: 60_000 },
  async (bits, size, options) => {
    const image = imageOf(size, '-F', String(bits), ...options);
    const folder = folderForTest();
    for (let file = 0; file < 120; file++) writeFileSync(`${folder}/small${file}`, expected(file, 0, 1500));
    mtool('mcopy', image, ...readdirSync(folder).map((name) => `${folder}/${name}`), '::/');
    writeFileSync(`${folder}/filler`, Buffer.alloc(size, 7));
    // Ends with "disk full": all that was free is taken, and mtools leaves what fits out.
    const free = Number(/([\d ]+) bytes free/.exec(mtool('mdir', image, '::/'))?.[1]?.replaceAll(' ', ''));
    writeFileSync(`${folder}/filler`, Buffer.alloc(free - 30_000, 7));
    mtool('mcopy', image, `${folder}/filler`, '::/filler');
    const every = Array.from({ length: 60 }, (_, file) => `::/small${file * 2}`);
    mtool('mdel', image, ...every);
    const content = expected(5, 0, 100_003);
    writeFileSync(`${folder}/pieces`, content);
    mtool('mcopy', image, `${folder}/pieces`, '::/pieces');
    expect(readFileSync(image).indexOf(content)).toBe(-1);
    const reader = await readerOf(image);
    const file = await findIn(reader, reader.description.root, Buffer.from('pieces'));
    expect((await contentOf(reader, file.node, file.sizeBytes, 2 ** 20)).equals(content)).toBe(true);
    for (const offset of [99_999, 60_000, 511, 80_000, 0, 100_003]) {
      const bytes = await reader.call({ operation: 'read', node: file.node, offset, length: 3000 });
      expect(bytes.equals(content.subarray(offset, offset + 3000))).toBe(true);
    }
  },
);

/** Replaces bytes of an image that are there once. */
function patch(image: string, from: Buffer, change: (found: Buffer) => void): void {
  const bytes = readFileSync(image);
  const at = bytes.indexOf(from);
  expect(at).toBeGreaterThan(0);
  expect(bytes.indexOf(from, at + 1)).toBe(-1);
  change(bytes.subarray(at));
  writeFileSync(image, bytes);
}

const root = async (image: string) => {
  const reader = await readerOf(image);
  return filesIn(reader, reader.description.root);
};
const namesOf = async (image: string) => (await root(image)).map(({ name }) => name);

test('names beyond ASCII, bits of case, and names that are none', async () => {
  const image = imageOf(4 * MiB, '-F', '12');
  const folder = folderForTest();
  for (const name of ['AAAAAAAA.TXT', 'bbbbbbbb.txt', 'Long name of a file', 'CCCCCCCC', 'DDDDDDDD']) {
    writeFileSync(`${folder}/${name}`, name);
    mtool('mcopy', image, `${folder}/${name}`, '::/');
  }
  patch(image, Buffer.from('AAAAAAAATXT'), (at) => at.set([0x05, 0x90, 0xe5, 0x41, 0x20, 0x20, 0x20, 0x20]));
  patch(image, Buffer.from('CCCCCCCC   '), (at) => {
    at.set([0x90, 0x42, 0x43, 0x20, 0x20, 0x20, 0x20, 0x20]);
    at[12] = 0x08;
  });
  patch(image, Buffer.from('DDDDDDDD   '), (at) => at.set([0x2f], 3));
  // Half of a pair in place of the "g".
  patch(image, Buffer.from('Long ', 'utf16le'), (at) => at.writeUInt16LE(0xd83d, 6));
  expect(await namesOf(image)).toEqual([
    Buffer.from('σÉσA.TXT'),
    Buffer.from('bbbbbbbb.txt'),
    Buffer.concat([Buffer.from('Lon'), Buffer.from([0xed, 0xa0, 0xbd]), Buffer.from(' name of a file')]),
    Buffer.from('ébc'),
    Buffer.from('DDD_DDDD'),
  ]);
  // A whole pair.
  patch(image, Buffer.from([0x3d, 0xd8, 0x20, 0]), (at) => at.writeUInt16LE(0xde00, 2));
  expect((await namesOf(image))[2]).toEqual(Buffer.from('Lon😀name of a file'));
  // A long name whose sum does not fit belongs to another file.
  patch(image, Buffer.from('LONGNA~1'), (at) => at.write('LONGNB~1'));
  expect((await namesOf(image))[2]).toEqual(Buffer.from('LONGNB~1'));
});

test('a file that must not be written shows it, and a volume that was in use says so', async () => {
  const image = imageOf(24 * MiB, '-F', '16');
  const folder = folderForTest();
  writeFileSync(`${folder}/kept`, 'content');
  mtool('mcopy', image, `${folder}/kept`, '::/');
  mtool('mattrib', image, '+r', '::/kept');
  const [file] = await root(image);
  expect(file?.attributes.mode).toBe(0o100555);
  const bytes = readFileSync(image);
  bytes[0x25] = 1;
  writeFileSync(image, bytes);
  expect((await readerOf(image)).description.notes).toContainEqual(expect.stringContaining('in use'));
});

test('chains that run in a circle, leave the volume or end too early are faults of their file alone', async () => {
  const image = imageOf(24 * MiB, '-F', '16', '-s', '1');
  const folder = folderForTest();
  mkdirSync(`${folder}/f`);
  for (const name of ['circle', 'outside', 'early', 'whole'])
    writeFileSync(`${folder}/f/${name}`, expected(3, 0, 20_000));
  mtool('mcopy', image, '-s', `${folder}/f`, '::/');
  const bytes = readFileSync(image);
  const table = bytes.readUInt16LE(14) * 512;
  const firstOf = (name: string) => {
    const at = bytes.indexOf(name.toUpperCase().padEnd(11));
    return bytes.readUInt16LE(at + 26);
  };
  const set = (cluster: number, value: number) => bytes.writeUInt16LE(value, table + cluster * 2);
  set(firstOf('circle') + 20, firstOf('circle') + 10);
  set(firstOf('outside') + 20, 0xfff0);
  set(firstOf('early') + 20, 0xffff);
  writeFileSync(image, bytes);
  const reader = await readerOf(image);
  const inside = await findIn(reader, reader.description.root, Buffer.from('f'));
  for (const [name, refused] of [
    ['circle', 'circle'],
    ['outside', 'leaves the volume'],
    ['early', 'fewer clusters'],
  ] as const) {
    const { node } = await findIn(reader, inside.node, Buffer.from(name));
    await expect(reader.call({ operation: 'read', node, offset: 0, length: 20_000 })).rejects.toThrow(
      refused,
    );
    expect((await reader.call({ operation: 'read', node, offset: 0, length: 5000 })).length).toBe(5000);
  }
  const whole = await findIn(reader, inside.node, Buffer.from('whole'));
  expect((await contentOf(reader, whole.node, 20_000, 7000)).length % 7000).toBe(20_000 % 7000);
});
