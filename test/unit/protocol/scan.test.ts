import { expect, test } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import { frameDepthMax } from '../../../daemon/base/limits.ts';
import { scanBody } from '../../../daemon/protocol/scan.ts';

const text = (value: string): number[] => [0xd9, value.length, ...Buffer.from(value)];
const nested = (levels: number, tag: number[], leaf: number): number[] => [
  ...Array.from({ length: levels }, () => tag).flat(),
  leaf,
];

const refused: readonly (readonly [string, number[], RegExp])[] = [
  ['nothing', [], /ends in the middle/],
  ['a text shorter than announced', [0xa5, 0x61], /ends in the middle/],
  ['4 GiB of text announced', [0xdb, 0xff, 0xff, 0xff, 0xff], /ends in the middle/],
  ['4 GiB of bytes announced', [0xc6, 0xff, 0xff, 0xff, 0xff], /ends in the middle/],
  ['a length that is cut', [0xda, 0x01], /ends in the middle/],
  ['a number that is cut', [0xcf, 0, 0], /ends in the middle/],
  ['a list of 2^32 - 1 items', [0xdd, 0xff, 0xff, 0xff, 0xff], /more items than it has bytes/],
  ['a map of 2^32 - 1 pairs', [0xdf, 0xff, 0xff, 0xff, 0xff], /more items than it has bytes/],
  ['a map with a key and no value', [0x81, 0xa1, 0x61], /ends in the middle/],
  ['a list that lacks an item', [0x92, 0x91, 0x01], /ends in the middle/],
  ['a second value', [0x01, 0x02], /1 bytes follow/],
  ['an extension', [0xd4, 0x01, 0x00], /extension types/],
  ['an extension with a length', [0xc7, 0x00, 0x01], /extension types/],
  ['the byte that is never used', [0xc1], /0xc1/],
  ['a number as a key', [0x81, 0x01, 0x01], /key of a map is not text/],
  ['bytes as a key', [0x81, 0xc4, 0x01, 0x61, 0x01], /key of a map is not text/],
  ['a list as a key', [0x81, 0x90, 0x01], /key of a map is not text/],
  ['nil as a second key', [0x82, 0xa1, 0x61, 0x01, 0xc0, 0x01], /key of a map is not text/],
  ['__proto__ as a key', [0x81, ...text('__proto__'), 0x80], /__proto__/],
  ['__proto__ deep inside', [0x81, 0xa1, 0x61, 0x91, 0x81, ...text('__proto__'), 0x80], /__proto__/],
  ['lists one too deep', nested(frameDepthMax, [0x91], 0x90), /nested deeper/],
  ['maps one too deep', nested(frameDepthMax, [0x81, 0xa1, 0x61], 0x80), /nested deeper/],
  ['a million lists in each other', nested(1_000_000, [0x91], 0xc0), /nested deeper/],
];

test.each(refused)('%s is refused as PROTOCOL', (_name, bytes, why) => {
  let thrown: unknown;
  try {
    scanBody(Uint8Array.from(bytes));
  } catch (caught) {
    thrown = caught;
  }
  expect(thrown).toBeInstanceOf(Fault);
  expect((thrown as Fault).code).toBe('PROTOCOL');
  expect((thrown as Fault).message).toMatch(why);
});

const taken: readonly (readonly [string, number[]])[] = [
  ['nil', [0xc0]],
  ['an empty list', [0x90]],
  ['an empty map', [0x80]],
  ['a 32-bit list of nothing', [0xdd, 0, 0, 0, 0]],
  ['bytes', [0xc4, 2, 0xc1, 0xc1]],
  ['__proto__ as a value', [0x81, 0xa1, 0x61, ...text('__proto__')]],
  ['a key nearly __proto__', [0x81, ...text('__proto_x'), 0xc0]],
  ['lists as deep as may be', nested(frameDepthMax - 1, [0x91], 0x90)],
  ['maps as deep as may be', nested(frameDepthMax, [0x81, 0xa1, 0x61], 0xc0)],
  ['many lists beside each other', [0x9f, ...Array.from({ length: 15 }, () => 0x90)]],
];

test.each(taken)('%s passes', (_name, bytes) => {
  expect(() => scanBody(Uint8Array.from(bytes))).not.toThrow();
});
