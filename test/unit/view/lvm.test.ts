/** Descriptions of LVM that nobody's program has written: made here, with right checksums, to do harm or to be odd. */

import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import { innerVolumes } from '../../../daemon/view/inside/volumes.ts';
import { findLogicalVolumes } from '../../../daemon/view/lvm/logical.ts';
import { parseText } from '../../../daemon/view/lvm/text.ts';

const MiB = 2 ** 20;
const id = 'aaaaaaBBBBccccDDDDeeeeFFFFgggggg';
const dashed = 'aaaaaa-BBBB-cccc-DDDD-eeee-FFFF-gggggg';

const checksum = (bytes: Buffer): number => ~crc32(bytes, ~0xf597a6cf >>> 0) >>> 0;

/** The begin of a physical volume: label in the second sector, text from 4 KiB on; `at`: where in the area the text begins. */
function physicalVolume(text: string, at = 512): Buffer {
  const bytes = Buffer.alloc(1 * MiB);
  const label = bytes.subarray(512, 1024);
  label.write('LABELONE', 0);
  label.writeBigUInt64LE(1n, 8);
  label.writeUInt32LE(32, 20);
  label.write('LVM2 001', 24);
  label.write(id, 32);
  label.writeBigUInt64LE(BigInt(MiB), 72);
  label.writeBigUInt64LE(4096n, 104);
  label.writeBigUInt64LE(65_536n, 112);
  label.writeUInt32LE(checksum(label.subarray(20)), 16);
  const area = bytes.subarray(4096, 4096 + 65_536);
  const content = Buffer.from(`${text}\0`);
  const first = content.copy(area, at);
  content.copy(area, 512, first);
  const head = area.subarray(0, 512);
  head.write(' LVM2 x[5A%r0N*>', 4);
  head.writeUInt32LE(1, 20);
  head.writeBigUInt64LE(4096n, 24);
  head.writeBigUInt64LE(65_536n, 32);
  head.writeBigUInt64LE(BigInt(at), 40);
  head.writeBigUInt64LE(BigInt(content.length), 48);
  head.writeUInt32LE(checksum(content), 56);
  head.writeUInt32LE(checksum(head.subarray(4)), 0);
  return bytes;
}

const find = (head: Buffer) => {
  const image = Buffer.concat([head, Buffer.alloc(7 * MiB)]);
  const read = async (offset: number, length: number) => {
    if (offset < 0 || offset + length > image.length)
      throw new Error(`a read outside of the image: ${offset}`);
    return image.subarray(offset, offset + length);
  };
  return findLogicalVolumes(read, [{ offset: 0, sizeBytes: image.length }]);
};

/** Extents of 64 KiB from 1 MiB on. */
const group = (volumes: string): string => `
  # made by hand
  vg {
    id = "group-1"
    seqno = 3
    status = ["RESIZEABLE", "READ", "WRITE"]
    extent_size = 128
    physical_volumes {
      pv0 { id = "${dashed}" device = "/dev/\\"odd\\"" pe_start = 2048 pe_count = 112 }
      pv1 { id = "another" pe_start = 2048 pe_count = 112 }
    }
    logical_volumes { ${volumes} }
  }
  contents = "Text Format Volume Group"
  version = 1
`;

const volume = (name: string, segment: string): string =>
  `${name} { id = "x" status = ["READ", "VISIBLE"] segment_count = 1 segment1 { start_extent = 0 ${segment} } }`;

const linear = 'extent_count = 4 type = "striped" stripe_count = 1 stripes = ["pv0", 2]';

test('a linear volume is where its description says, also where the text goes round in its area', async () => {
  const segments = [{ offset: 0, length: 262_144, stripeBytes: 0, places: [1_179_648] }];
  for (const at of [512, 65_000]) {
    const found = await find(physicalVolume(group(volume('root', linear)), at));
    expect(found).toEqual({ volumes: [{ name: 'vg/root', sizeBytes: 262_144, segments }], notes: [] });
  }
});

test.each([
  ['thin', 'extent_count = 4 type = "thin" thin_pool = "pool"', /its kind is thin/],
  ['raid', 'extent_count = 4 type = "raid5" device_count = 3', /its kind is raid5/],
  ['far', 'extent_count = 4 type = "striped" stripes = ["pv0", 100000]', /lies on other disks/],
  ['negative', 'extent_count = 4 type = "striped" stripes = ["pv0", -9]', /lies on other disks/],
  ['away', 'extent_count = 4 type = "striped" stripes = ["pv1", 0]', /lies on other disks/],
  ['endless', 'extent_count = 999999999999999 type = "striped" stripes = ["pv0", 0]', /can't be used/],
  ['none', 'extent_count = 0 type = "striped" stripes = ["pv0", 0]', /can't be used/],
  ['odd', 'extent_count = 4 type = "striped" stripes = ["pv0"]', /can't be used/],
  ['stripeless', 'extent_count = 4 type = "striped" stripes = ["pv0", 0, "pv0", 2]', /can't be used/],
  [
    'uneven',
    'extent_count = 3 type = "striped" stripe_size = 128 stripes = ["pv0", 0, "pv0", 2]',
    /can't be used/,
  ],
  ['later', 'start_extent = 7 extent_count = 4 type = "striped" stripes = ["pv0", 0]', /can't be used/],
])('a volume that is %s is not shown, and the others are', async (name, segment, why) => {
  const found = await find(physicalVolume(group(volume(name, segment) + volume('good', linear))));
  expect(found.volumes.map((one) => one.name)).toEqual(['vg/good']);
  expect(found.notes).toEqual([expect.stringMatching(why)]);
  expect(found.notes[0]).toContain(`"${name}"`);
});

test('a name that leads elsewhere, hidden volumes and stores of snapshots are not shown', async () => {
  const hidden = 'hidden { id = "x" status = ["READ"] segment1 { start_extent = 0 extent_count = 1 } }';
  const snapshot =
    'snapshot0 { id = "x" status = ["READ"] segment1 { start_extent = 0 extent_count = 4 type = "snapshot" origin = "good" cow_store = "changes" } }';
  const text = [volume('..', linear), hidden, snapshot, volume('changes', linear), volume('good', linear)];
  const found = await find(physicalVolume(group(text.join('\n'))));
  expect(found.volumes.map(({ name }) => name)).toEqual(['vg/good']);
  expect(found.notes).toEqual([expect.stringContaining('"changes" is not shown: its kind is snapshot')]);
});

test('a text that is none is told in a note', async () => {
  for (const text of ['vg {', 'vg { id = ', 'a {'.repeat(50), 'vg { id = [1, 2', 'vg } {', '\u0001', '"']) {
    const found = await find(physicalVolume(text));
    expect(found.volumes).toEqual([]);
    expect(found.notes).toEqual([expect.stringContaining('group of LVM')]);
  }
});

test('any text is parsed or refused, and any byte of a physical volume may be another one', async () => {
  const words = fc.constantFrom('a', '{', '}', '[', ']', '=', ',', '"x"', '12', '#c\n', ' ', '\\', '"');
  fc.assert(
    fc.property(fc.array(words, { maxLength: 60 }), (parts) => {
      try {
        parseText(parts.join(''));
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(Fault);
      }
    }),
  );
  const good = physicalVolume(group(volume('root', linear)));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(6000), fc.nat(255)), { maxLength: 5 }), async (changes) => {
      const head = Buffer.from(good);
      for (const [at, byte] of changes) head[at] = byte;
      const { volumes } = await find(head);
      for (const { segments } of volumes) expect(segments[0]?.places).toEqual([1_179_648]);
    }),
    { numRuns: 60 },
  );
});

test('volumes are shown with what is in them', async () => {
  const image = Buffer.concat([physicalVolume(group(volume('root', linear))), Buffer.alloc(7 * MiB)]);
  image.write('XFSB', 1_179_648);
  const read = async (offset: number, length: number) => image.subarray(offset, offset + length);
  const { volumes } = await innerVolumes(read, image.length, []);
  expect(volumes.map(({ name, content }) => [name, content])).toEqual([
    ['', 'LVM2_member'],
    ['lvm/vg/root', 'xfs'],
  ]);
});
