import { expect, test } from 'vitest';
import { mergeClosest, parseExtents } from '../../../client/extents.ts';

const parsed = (text: string) => parseExtents(text, 'list');

test('the JSON of rbd diff and plain lines say the same', () => {
  const json =
    '[{"offset":0,"length":4194304,"exists":"true"},{"offset":8388608,"length":512,"exists":"false"}]';
  const lines = 'Offset   Length  Type\n0 4194304 data\n# a note\n\n  8388608\t512 zero\n';
  expect(parsed(json)).toEqual([
    [0, 4194304],
    [8388608, 512],
  ]);
  expect(parsed(lines)).toEqual(parsed(json));
  expect(parsed('[]')).toEqual([]);
  expect(parsed('')).toEqual([]);
});

test.each([
  '[{"offset":0}]',
  '[{"offset":"0","length":1}]',
  '[{"offset":-1,"length":1}]',
  '[{"offset":0,"length":0}]',
  '[{"offset":1.5,"length":1}]',
  '[{"offset":1e300,"length":1}]',
  '[null]',
  '[[0,1]]',
  '[{"offset":0,"length":1}',
  '{"offset":0,"length":1}',
  '0',
  '0 0',
  '-1 5',
  '0x10 5',
  '1e3 5',
  '5 5\n9 1',
  '5 5\n1 1',
])('what is no list of extents in order is refused: %s', (text) => {
  expect(() => parsed(text)).toThrow(/Cannot use the changed extents in "list"/);
});

test('too many extents are merged where they lie closest, and still cover all', () => {
  expect(
    mergeClosest(
      [
        [0, 1],
        [10, 1],
        [13, 1],
        [100, 1],
        [102, 2],
      ],
      3,
    ),
  ).toEqual([
    [0, 1],
    [10, 4],
    [100, 4],
  ]);
  expect(
    mergeClosest(
      [
        [0, 1],
        [5, 1],
      ],
      2,
    ),
  ).toEqual([
    [0, 1],
    [5, 1],
  ]);
  expect(
    mergeClosest(
      [
        [0, 1],
        [1, 1],
      ],
      2,
    ),
  ).toEqual([[0, 2]]);
  expect(mergeClosest([], 2)).toEqual([]);
  const many = Array.from({ length: 1000 }, (_none, at): [number, number] => [at * 10, 1 + (at % 3)]);
  const merged = mergeClosest(many, 100);
  expect(merged.length).toBeLessThanOrEqual(100);
  expect(
    many.every(([offset, length]) =>
      merged.some(([from, bytes]) => from <= offset && from + bytes >= offset + length),
    ),
  ).toBe(true);
});
