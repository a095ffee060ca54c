/** The reader of NTFS beside ntfs-3g, which is no code of ours: it writes the images and shows what is in them. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { run, sparseFile } from '../support/devices.ts';
import { contentOf } from '../support/fat-images.ts';
import {
  fillCompressed,
  fillForNtfs,
  junctionTo,
  linkTo,
  makeReparse,
  mountedNtfs,
} from '../support/ntfs-images.ts';
import { differencesFromKernel, filesIn, findIn, openReader } from '../support/reader-images.ts';
import { expected } from '../support/view-source.ts';

const MiB = 2 ** 20;

function imageOf(sizeBytes: number, ...options: string[]): string {
  const image = sparseFile(sizeBytes);
  run('mkntfs', '-F', '-q', '-L', 'label ü', ...options, image);
  return image;
}

async function readerOf(image: string) {
  const reader = await openReader(image);
  onTestFinished(() => reader.close());
  return reader;
}

test.each([
  [64 * MiB, 4096, []],
  [64 * MiB, 512, ['-c', '512']],
  [96 * MiB, 4096, ['-s', '4096']],
  [300 * MiB, 65_536, ['-c', '65536']],
] as const)(
  'NTFS of %i bytes with clusters of %i made with %j shows what was written',
  { timeout: 60_000 },
  async (size, cluster, options) => {
    const image = imageOf(size, ...options);
    const written = mountedNtfs(image, 'compression');
    fillForNtfs(written, cluster);
    run('umount', written);
    const reader = await readerOf(image);
    expect(reader.description).toMatchObject({
      kind: 'ntfs',
      label: 'label ü',
      blockBytes: cluster,
      notes: [],
    });
    expect(await differencesFromKernel(reader, mountedNtfs(image, 'ro'))).toEqual([]);
  },
);

test('links of Windows lead where they lead on that volume, and what is not there is not made up', async () => {
  const image = imageOf(24 * MiB);
  const folder = mountedNtfs(image);
  mkdirSync(`${folder}/People/ann`, { recursive: true });
  writeFileSync(`${folder}/People/ann/letter`, 'dear');
  for (const name of ['junction', 'far']) mkdirSync(`${folder}/${name}`);
  for (const name of ['relative', 'absolute', 'share', 'linux', 'packed', 'cloud', 'other'])
    writeFileSync(`${folder}/${name}`, '');
  makeReparse(`${folder}/junction`, 0xa0000003, junctionTo('\\??\\C:\\People\\ann'));
  makeReparse(`${folder}/far`, 0xa0000003, junctionTo('\\??\\Volume{0-1}\\'));
  makeReparse(`${folder}/relative`, 0xa000000c, linkTo('people\\ANN\\letter', true));
  makeReparse(`${folder}/absolute`, 0xa000000c, linkTo('\\??\\D:\\People', false));
  makeReparse(`${folder}/share`, 0xa000000c, linkTo('\\??\\UNC\\host\\share', false));
  makeReparse(`${folder}/linux`, 0xa000001d, Buffer.from([2, 0, 0, 0, ...Buffer.from('People/ann')]));
  makeReparse(`${folder}/packed`, 0x80000017, Buffer.alloc(16, 1));
  makeReparse(`${folder}/other`, 0x80001234, Buffer.alloc(8));
  run('umount', folder);
  const reader = await readerOf(image);
  const targets: Record<string, string> = {};
  const kinds: Record<string, number> = {};
  for (const { name, attributes } of await filesIn(reader, reader.description.root)) {
    kinds[name.toString()] = attributes.mode & 0o170000;
    if ((attributes.mode & 0o170000) !== 0o120000) continue;
    targets[name.toString()] = (
      await reader.call({ operation: 'readLink', node: attributes.node })
    ).toString();
    expect(attributes.sizeBytes).toBe(targets[name.toString()]?.length);
  }
  expect(targets).toEqual({
    junction: '/People/ann',
    far: '/Volume{0-1}/',
    relative: 'people/ANN/letter',
    absolute: '/People',
    share: '//host/share',
    linux: 'People/ann',
  });
  expect(kinds).toMatchObject({ packed: 0o100000, other: 0o100000, People: 0o040000 });
  const packed = await findIn(reader, reader.description.root, Buffer.from('packed'));
  await expect(
    reader.call({ operation: 'read', node: packed.node, offset: 0, length: 10 }),
  ).rejects.toMatchObject({ errno: 13 });
  // Names are found in any case; one that is written as it was asked for comes first.
  const people = await findIn(reader, reader.description.root, Buffer.from('pEOPLE'));
  expect((await findIn(reader, people.node, Buffer.from('ANN'))).mode & 0o170000).toBe(0o040000);
  await expect(findIn(reader, people.node, Buffer.from('bob'))).rejects.toMatchObject({ errno: 2 });
});

test('a volume that was in use says so, and a name is not taken for the next file in its record', async () => {
  const image = imageOf(24 * MiB);
  const folder = mountedNtfs(image);
  writeFileSync(`${folder}/kept`, expected(4, 0, 5000));
  writeFileSync(`${folder}/hiberfil.sys`, Buffer.concat([Buffer.from('hibr'), Buffer.alloc(8192)]));
  run('umount', folder);
  expect((await readerOf(image)).description.notes).toEqual([expect.stringContaining('asleep')]);
  const bytes = readFileSync(image);
  // The log: two heads that say that somebody uses it, and not that it was closed.
  const head = Buffer.alloc(4096);
  head.write('RSTR');
  head.writeUInt16LE(0x1e, 4);
  head.writeUInt16LE(9, 6);
  head.writeUInt16LE(0x30, 24);
  head.writeBigUInt64LE(77n, 0x30);
  const log = bytes.indexOf(Buffer.alloc(65_536, 0xff));
  expect(log).toBeGreaterThan(0);
  for (const at of [0, 4096]) bytes.set(head, log + at);
  // The record of the file has been used once more than its name says.
  const record = bytes.indexOf(Buffer.from('kept', 'utf16le'), bytes.indexOf('FILE'));
  const begin = bytes.lastIndexOf('FILE', record);
  bytes.writeUInt16LE(bytes.readUInt16LE(begin + 16) + 1, begin + 16);
  const changed = `${image}.changed`;
  writeFileSync(changed, bytes);
  const reader = await readerOf(changed);
  expect(reader.description.notes).toContainEqual(expect.stringContaining('log was not empty'));
  const [file] = (await filesIn(reader, reader.description.root)).filter(
    ({ name }) => name.toString() === 'kept',
  );
  expect(file?.attributes.links).toBe(0);
  await expect(reader.call({ operation: 'stat', node: file?.attributes.node ?? 0 })).rejects.toMatchObject({
    errno: 5,
  });
});

test('a compressed file is read from any place', async () => {
  const image = imageOf(32 * MiB);
  const folder = mountedNtfs(image, 'compression');
  fillCompressed(`${folder}/packed`);
  const content = readFileSync(`${folder}/packed/mixed`);
  run('umount', folder);
  const reader = await readerOf(image);
  const inside = await findIn(reader, reader.description.root, Buffer.from('packed'));
  const file = await findIn(reader, inside.node, Buffer.from('mixed'));
  expect(file.usedBytes).toBeLessThan(file.sizeBytes / 2);
  expect((await contentOf(reader, file.node, file.sizeBytes, 7001)).equals(content)).toBe(true);
  for (const offset of [65_535, 65_536, 131_071, 700_000, 3])
    expect(
      (await reader.call({ operation: 'read', node: file.node, offset, length: 70_001 })).equals(
        content.subarray(offset, offset + 70_001),
      ),
    ).toBe(true);
});
