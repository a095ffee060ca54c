import { expect, test } from 'vitest';
import { parseMountTable } from '../../../daemon/base/mount-table.ts';
import { claim, isRead } from '../../../daemon/devices/claims.ts';
import { walkExtents } from '../../../daemon/devices/extents.ts';
import { deviceNumber } from '../../../daemon/devices/locate.ts';
import { inodeShown } from '../../../daemon/devices/writers.ts';

test('a line of the mount table is read with optional fields and escaped names', () => {
  const line =
    '36 35 98:0 /sub /mnt/a\\040b\\134c rw,noatime shared:2 master:1 - ext3 /dev/root\\040x rw,errors=continue';
  const mount = { id: 36, root: '/sub', options: ['rw', 'noatime'] };
  const entry = { ...mount, device: '98:0', directory: '/mnt/a b\\c', type: 'ext3', source: '/dev/root x' };
  expect(parseMountTable(`${line}\n\nnone\n${line}\n`)).toEqual([entry, entry]);
});

test('device numbers beyond eight bits are read as the kernel prints them', () => {
  expect(deviceNumber(0x0701n)).toBe('7:1');
  expect(deviceNumber(0x103_00n)).toBe('259:0');
  expect(deviceNumber(0x12_3ab_cd_45n)).toBe('3021:1194565');
});

test.each([
  ['flags:\t0100000\nmnt_id:\t27\nino:\t5', '5'],
  ['flags:\t02100002\n', undefined],
  ['', undefined],
])('of the descriptor %j the kernel shows the inode %s', (text, inode) => {
  expect(inodeShown(text)).toBe(inode);
});

test('claims let in many readers or one writer, and end once', () => {
  const first = claim('k', 'read');
  const second = claim('k', 'read');
  expect(claim('k', 'write')).toBeUndefined();
  first?.();
  first?.();
  expect(isRead('k')).toBe(true);
  expect(claim('k', 'write')).toBeUndefined();
  second?.();
  const writer = claim('k', 'write');
  expect(writer).toBeDefined();
  expect(claim('k', 'read')).toBeUndefined();
  expect(claim('other', 'write')).toBeDefined();
  writer?.();
  expect(isRead('k')).toBe(false);
});

test('runs of one kind that follow one another come out as one', async () => {
  const answers = new Map([
    [0, { data: true, end: 10 }],
    [10, { data: true, end: 15 }],
    [15, { data: false, end: 18 }],
    [18, { data: false, end: 20 }],
  ]);
  const native = { nextExtent: (_fd: number, position: number) => Promise.resolve(answers.get(position)) };
  const runs = [];
  for await (const run of walkExtents(native, 0, 0, 30)) runs.push(run);
  expect(runs).toEqual([
    { offset: 0, length: 15, data: true },
    { offset: 15, length: 5, data: false },
    { offset: 20, length: 10, data: true },
  ]);
});
