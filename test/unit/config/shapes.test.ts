import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseGrant, showGrant } from '../../../daemon/config/grants.ts';
import { nearest } from '../../../daemon/config/nearest.ts';
import { parseSize, showSize } from '../../../daemon/config/shapes.ts';

test.each([
  [0, 0],
  [4096, 4096],
  ['4096', 4096],
  ['256MiB', 256 * 2 ** 20],
  ['1 GiB', 2 ** 30],
  ['1.5KiB', 1536],
  ['2TiB', 2 ** 41],
  ['7B', 7],
])('%o is a size of %d bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each([
  '',
  'MiB',
  '1MB',
  '1mib',
  '-1',
  '1.5B',
  '1e3',
  '9999999999TiB',
  '0x10',
  ' ',
  1.5,
  -1,
  Number.NaN,
  null,
  [],
])('%o is no size', (value) => {
  expect(parseSize(value)).toBeUndefined();
});

test('every number of bytes is read back from the way it is written', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (bytes) => parseSize(showSize(bytes)) === bytes),
  );
});

test('grants are read back from the way they are written', () => {
  const grant = { kind: 'gid', id: 4294967294, projects: ['a', 'b c'] } as const;
  expect(parseGrant(showGrant(grant))).toEqual(grant);
});

test.each([
  'uid:-1=a',
  'uid:4294967295=a',
  'uid:x=a',
  'user:1=a',
  'uid:1',
  'uid:1=',
  'uid:1=a,,b',
  `uid:1=${'x'.repeat(65)}`,
])('%s is no grant', (text) => {
  expect(parseGrant(text)).toBeUndefined();
});

test('the nearest name is found, and none where nothing is near', () => {
  const names = ['socket', 'state_dir', 'view_dir'];
  expect(nearest('sokcet', names)).toBe('socket');
  expect(nearest('View-Dir', names)).toBe('view_dir');
  expect(nearest('statedir', names)).toBe('state_dir');
  expect(nearest('memory', names)).toBeUndefined();
});
