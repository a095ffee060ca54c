/** Vital product data, as devices send it and as hostile ones might. */

import { expect, test } from 'vitest';
import { readNames, readSerial } from '../../../../daemon/devices/connect/scsi/designators.ts';

const page = (code: number, body: readonly number[]): Buffer =>
  Buffer.from([0, code, body.length >> 8, body.length & 255, ...body]);

/** `codeSet`: 1 binary, 2 ASCII; `association`: 0 the volume, 1 the port, 2 the target. */
function designator(kind: number, bytes: Iterable<number>, association = 0): number[] {
  const body = [...bytes];
  return [kind === 1 || kind === 8 ? 2 : 1, (association << 4) | kind, 0, body.length, ...body];
}
const identification = (...all: number[][]): Buffer => page(0x83, all.flat());
const naa = Buffer.from('60014052c1743a391305fbf367df8e40', 'hex');

test('takes all names of the volume, normalised and sorted', () => {
  const text = Buffer.from('LIO-ORG alpha:2c1743a3  ');
  const read = readNames(
    identification(
      designator(3, naa),
      designator(1, text),
      designator(2, Buffer.from('0025385b71b00001', 'hex')),
      designator(8, Buffer.from('naa.60014052C1743A391305FBF367DF8E40\0\0\0\0')),
      designator(8, Buffer.from('iqn.2026-01.test:disk,L,0x01\0')),
      designator(10, [0x10, 0, ...Buffer.from('00112233445566778899aabbccddeeff', 'hex')]),
    ),
  );
  expect(read).toEqual([
    'eui.0025385b71b00001',
    'naa.60014052c1743a391305fbf367df8e40',
    'name.iqn.2026-01.test:disk,L,0x01',
    't10.LIO-ORG alpha:2c1743a3',
    'uuid.00112233445566778899aabbccddeeff',
  ]);
});

test('leaves out names of ports, of targets, of groups, and those only unique by the word of their maker', () => {
  const others = [designator(3, naa, 1), designator(3, naa, 2), designator(0, Buffer.from('mine'))];
  const groups = [4, 5, 6, 7, 9, 15].map((kind) => designator(kind, [0, 0, 0, 1]));
  expect(readNames(identification(...others, ...groups))).toEqual([]);
});

test('leaves out names that say nothing, or are of a length that their kind has not', () => {
  const empty = [designator(3, Buffer.alloc(16)), designator(1, Buffer.from('        ')), designator(8, [])];
  const short = [
    designator(3, naa.subarray(0, 15)),
    designator(3, [0x70, ...naa.subarray(1)]),
    designator(2, Buffer.alloc(9, 1)),
    designator(10, Buffer.alloc(17, 1)),
    designator(1, Buffer.from('LIO-ORG \0\0')),
    designator(1, Buffer.from('LIO-ORG')),
  ];
  expect(readNames(identification(...empty, ...short))).toEqual([]);
});

test('a page cut off at any byte gives only names that were whole', () => {
  const whole = identification(designator(2, Buffer.from('0025385b71b00001', 'hex')), designator(3, naa));
  const names = ['eui.0025385b71b00001', `naa.${naa.toString('hex')}`];
  for (let length = 0; length <= whole.length; length++) {
    const expected = length === whole.length ? names : length >= 16 ? names.slice(0, 1) : [];
    expect(readNames(whole.subarray(0, length)), `${length} bytes`).toEqual(expected);
  }
});

test('lengths that lead out of the page, or that never end, are harmless', () => {
  expect(readNames(Buffer.from([0, 0x83, 0xff, 0xff, 1, 3, 0, 255, 0x60]))).toEqual([]);
  expect(readNames(page(0x83, [...Buffer.alloc(4092)]))).toEqual([]);
  const many = Array.from({ length: 400 }, (_, n) => designator(2, [1, 0, 0, 0, 0, 0, n >> 8, n & 255]));
  expect(readNames(identification(...many))).toHaveLength(32);
});

test('another page is not taken for the one that was asked for', () => {
  const other = identification(designator(3, naa));
  other[1] = 0;
  expect(readNames(other)).toEqual([]);
  expect(readSerial(page(0x83, [...Buffer.from('serial')]))).toBeNull();
});

test('two names that differ in bytes that do not print stay two names', () => {
  const [one, two] = [0x01, 0x02].map((byte) =>
    readNames(identification(designator(1, [...Buffer.from('ACME    '), byte]))),
  );
  expect(one).toEqual(['t10.ACME    \\x01']);
  expect(two).toEqual(['t10.ACME    \\x02']);
  expect(readNames(identification(designator(1, Buffer.from('ACME    \\x01'))))).toEqual([
    't10.ACME    \\x5cx01',
  ]);
});

test('serial numbers lose their padding; one of blanks or zeros is none', () => {
  expect(readSerial(page(0x80, [...Buffer.from('  2c1743a39130  \0')]))).toBe('2c1743a39130');
  expect(readSerial(page(0x80, [...Buffer.from('     ')]))).toBeNull();
  expect(readSerial(page(0x80, [0, 0, 0]))).toBeNull();
  expect(readSerial(Buffer.from([0, 0x80]))).toBeNull();
});
