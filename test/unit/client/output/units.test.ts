/** Bytes, rates and durations as people read and type them. */

import { expect, test } from 'vitest';
import { bytesText, durationText, parseBytes, rateText } from '../../../../client/output/units.ts';

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1_048_575, '1.0 MiB'],
  [1_610_612_736, '1.5 GiB'],
  [2 ** 41, '2.0 TiB'],
  [2 ** 52, '4.0 PiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(bytesText(bytes)).toBe(text);
});

test('a rate of a fraction of a byte is whole', () => {
  expect(rateText(0.4)).toBe('0 B/s');
});

test.each([
  [0, '0 s'],
  [59.6, '1 min 00 s'],
  [61, '1 min 01 s'],
  [3725, '1 h 02 min'],
  [90_000, '1 d 1 h'],
])('%d seconds are %s', (seconds, text) => {
  expect(durationText(seconds)).toBe(text);
});

test.each([
  ['65536', 65_536],
  ['64K', 65_536],
  ['64 KiB', 65_536],
  ['1m', 1_048_576],
  ['', undefined],
  ['-1', undefined],
  ['64KB', undefined],
  ['99999999999T', undefined],
])('"%s" is read as %s bytes', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});
