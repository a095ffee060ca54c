/** FORMAT.md is what a second program is written from: its numbers and examples must be those of the code. */

import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { digestBytes } from '../../daemon/base/bytes.ts';
import * as limits from '../../daemon/base/limits.ts';
import { encodingRaw, encodingZstd, entryBytes } from '../../daemon/format/block-layouts.ts';
import {
  configKey,
  formatVersion,
  lockKey,
  manifestKey,
  mapHeight,
  packKey,
  pageBytes,
} from '../../daemon/format/layout.ts';
import {
  packBytesMax,
  packHeader,
  packHeaderBytes,
  packTrailer,
  packTrailerBytes,
} from '../../daemon/format/pack.ts';
import { openSealedJson, sealJson } from '../../daemon/format/sealed-json.ts';
import { native } from '../../native/native.ts';

const page = await readFile(new URL('../../daemon/format/FORMAT.md', import.meta.url), 'utf8');
const hash = (bytes: Uint8Array) => native.hash(bytes);

/** Text of the section with this title. */
const section = (title: string): string => page.split(`\n## ${title}\n`)[1]?.split('\n## ')[0] ?? '';

/** Cells of the rows of the first table in `text`, without its head. */
function rowsOf(text: string): string[][] {
  const lines = text.split('\n');
  const first = lines.findIndex((line) => /^\| *-/.test(line));
  const end = lines.findIndex((line, number) => number > first && !line.startsWith('|'));
  return lines.slice(first + 1, end === -1 ? undefined : end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const trailer = packTrailer(new Uint8Array(digestBytes).fill(0xaa), 0x01020304, 0x05060708);

const numbers: Record<string, number | string> = {
  'format version': formatVersion,
  'pack version': packHeader().readUInt32LE(8),
  'header magic': `\`${packHeader().toString('latin1', 0, 8)}\``,
  'trailer magic': `\`${trailer.toString('latin1', 56)}\``,
  'digest bytes': digestBytes,
  'header bytes': packHeaderBytes,
  'entry bytes': entryBytes,
  'trailer bytes': packTrailerBytes,
  'encoding raw': encodingRaw,
  'encoding zstd': encodingZstd,
  fanout: limits.fanout,
  'page bytes': pageBytes,
  'smallest block bytes': limits.blockBytesMin,
  'default block bytes': limits.blockBytesDefault,
  'largest block bytes': limits.blockBytesMax,
  'pack end bytes': limits.packPayloadBytes,
  'pack end blocks': limits.packBlocksMax,
  'largest pack bytes': packBytesMax,
  'largest volume bytes': limits.volumeBytesMax,
  'largest sealed bytes': limits.manifestBytesMax,
};

test('the numbers of FORMAT.md are those of the code, and all of them', () => {
  const table = Object.fromEntries(rowsOf(section('Numbers')).map(([name, value]) => [name, value]));
  const expected = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, String(value)]));
  expect(table).toEqual(expected);
});

test('the tables of header, entry and trailer add up to their sizes', () => {
  const [header, entry, end] = section('Packs')
    .split(/\n\| offset +\| bytes +\| value +\|\n/)
    .slice(1)
    .map((text) => rowsOf(text));
  for (const [rows, bytes] of [
    [header, packHeaderBytes],
    [entry, entryBytes],
    [end, packTrailerBytes],
  ] as const) {
    let next = 0;
    for (const [offset, length] of rows ?? []) {
      expect(Number(offset)).toBe(next);
      next += Number(length);
    }
    expect(next).toBe(bytes);
  }
});

test('header and trailer have their fields where FORMAT.md puts them', () => {
  expect(packHeader().toString('hex')).toBe(`${Buffer.from('BASALTPK').toString('hex')}0100000000000000`);
  expect(trailer.toString('hex')).toBe(
    [
      'aa'.repeat(32),
      '04030201',
      '01000000',
      '0807060500000000',
      '0000000000000000',
      Buffer.from('BASALTDR').toString('hex'),
    ].join(''),
  );
});

test('the example of sealed JSON is what the code writes, and opens', () => {
  const example = /```\n(\{"a":1\}\n[0-9a-f]{64}\n)```/.exec(section('Sealed JSON'))?.[1] ?? '';
  expect(sealJson({ a: 1 }, hash).toString()).toBe(example);
  expect(openSealedJson(Buffer.from(example), hash)).toEqual({ value: { a: 1 } });
  expect(section('Sealed JSON')).toContain(`these are ${example.length} bytes`);
});

const unitBytes: Record<string, number> = { MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, PiB: 2 ** 50 };

test('the heights of FORMAT.md are those of the code', () => {
  let checked = 0;
  for (const [block, ...cells] of rowsOf(section('Map'))) {
    for (const [number, cell] of cells.entries()) {
      if (cell === '') continue;
      const [count, unit] = cell.split(' ');
      const largest = Number(count) * (unitBytes[unit ?? ''] ?? Number.NaN);
      expect(mapHeight(largest, Number(block))).toBe(number + 1);
      if (!cell.includes('limit') && largest < limits.volumeBytesMax)
        expect(mapHeight(largest + 1, Number(block))).toBe(number + 2);
      else expect(largest).toBe(limits.volumeBytesMax);
      checked += 1;
    }
  }
  expect(checked).toBe(13);
});

test('the example of a map is right', () => {
  const size = 40 * 2 ** 30 + 3;
  const path = (block: number) =>
    [3, 2, 1].map((level) => Math.floor(block / limits.fanout ** (level - 1)) % limits.fanout);
  expect(mapHeight(size, 65536)).toBe(3);
  const blocks = Math.ceil(size / 65536);
  const text = section('Map').replaceAll(/\s+/g, ' ');
  expect(text).toContain(`${size} bytes. It has ${blocks} blocks`);
  expect(text).toContain(`Block 600000 (from byte ${600000 * 65536})`);
  expect(path(600000)).toEqual([2, 147, 448]);
  expect(text).toContain('by entry 2 of the root, entry 147 of that page, entry 448 of that leaf');
  expect(path(blocks - 1)).toEqual([2, 256, 0]);
  expect(text).toContain(`The last block, ${blocks - 1}, is reached by entries 2, 256 and 0`);
});

test('the keys of FORMAT.md are those of the code', () => {
  const keys = rowsOf(section('Objects')).map(([key]) => key);
  expect(keys).toContain(`\`${configKey}\``);
  expect(keys).toContain(`\`${lockKey}\``);
  expect(keys).toContain(`\`${manifestKey('ID')}\``);
  const name = 'ab'.repeat(digestBytes);
  expect(keys).toContain(`\`${packKey(name).replace(name, 'NAME').replace('/ab/', '/NN/')}\``);
});
