/** What a value looks like in each format, and what never reaches a terminal. */

import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { chooseColumns, chooseFields } from '../../../../client/output/columns.ts';
import { csvText } from '../../../../client/output/csv.ts';
import { jsonText } from '../../../../client/output/json.ts';
import { fieldTable, listTable } from '../../../../client/output/table.ts';
import { humanText, printable } from '../../../../client/output/text.ts';
import { fieldValues } from '../../../../client/output/value.ts';
import { yamlText } from '../../../../client/output/yaml.ts';

const evil = 'a\u001b[31m\n\u007f\u009b\u202eb';

test('control characters and marks of direction are written out', () => {
  expect(printable(evil)).toBe('a\\x1b[31m\\n\\x7f\\x9b\\u202eb');
  expect(printable('Größe 日本 🙂')).toBe('Größe 日本 🙂');
});

test('JSON and YAML write them out in a way that reads back as the same text', () => {
  const value = { [evil]: evil };
  for (const text of [jsonText(value), yamlText(value)]) {
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(parse(text)).toEqual(value);
  }
  expect(JSON.parse(jsonText(value))).toEqual(value);
});

test('YAML of plain values needs no quotes and reads back the same', () => {
  const value = { id: 'a', size_bytes: 2 ** 52, name: null, yes: 'yes', list: [{ offset: 1 }] };
  expect(yamlText(value)).toContain('id: a\n');
  expect(parse(yamlText(value))).toEqual(value);
});

test('who uses a device, and what is wrong with it, is told to people as a phrase', () => {
  const users = [
    { kind: 'operator', id: '' },
    { kind: 'job', id: 'a1' },
  ];
  expect(humanText('users', users)).toBe('the operator\njob a1');
  const fault = { code: 'DEVICE_FAILED', message: 'Cannot\u001b reach "x"', hint: 'y' };
  expect(humanText('fault', fault)).toBe('DEVICE_FAILED: Cannot\\x1b reach "x"');
});

test('the unit of a number is in its key', () => {
  expect(humanText('memory.limit_bytes', 2 ** 28)).toBe('256.0 MiB');
  expect(humanText('bytes_per_second', 2 ** 20)).toBe('1.0 MiB/s');
  expect(humanText('uptime_seconds', 61)).toBe('1 min 01 s');
  expect(humanText('pid', 1024)).toBe('1024');
});

test('what is absent is a dash for people and nothing for programs', () => {
  expect(fieldTable({ name: null, damaged: [] })).toBe(
    `
+---------+-------+
| Field   | Value |
+---------+-------+
| name    | -     |
| damaged | -     |
+---------+-------+
`.trimStart(),
  );
  expect(fieldValues({ name: null, count: 0, metadata: { a: 'b' } })).toBe('\n0\n{"a":"b"}\n');
});

test('a column of numbers is aligned at the right, wide characters keep the frame straight', () => {
  const rows = [
    { name: '日本', size_bytes: 1024 },
    { name: 'a', size_bytes: 10_485_760 },
  ];
  expect(listTable(['name', 'size_bytes'], { name: 'Name', size_bytes: 'Size' }, rows)).toBe(
    `
+------+----------+
| Name |     Size |
+------+----------+
| 日本 |  1.0 KiB |
| a    | 10.0 MiB |
+------+----------+
`.trimStart(),
  );
});

test('CSV quotes what needs quotes and keeps a value on its line', () => {
  expect(csvText(['a', 'b'], [{ a: 'x,"y"', b: 'one\ntwo' }])).toBe('a,b\n"x,""y""",one\\ntwo\n');
});

test('an exact key wins over a title, and a key without a title can be asked for', () => {
  const titles = { size: 'Size (whole GiB)', size_bytes: 'Size', created_at: 'Created At' };
  const choose = (...wanted: string[]) => chooseColumns(wanted, ['size'], titles, [{ newer: 1 }]);
  expect(choose('size', 'Size', 'created at', 'newer')).toEqual([
    'size',
    'size_bytes',
    'created_at',
    'newer',
  ]);
  expect(choose()).toEqual(['size']);
  expect(() => choose('colour')).toThrow('"colour"');
});

test('a field inside another is reached with a dot', () => {
  const value = { memory: { limit_bytes: 5 }, pid: 1 };
  expect(chooseFields(['memory.limit_bytes', 'pid'], value)).toEqual({ 'memory.limit_bytes': 5, pid: 1 });
  expect(() => chooseFields(['memory.nothing'], value)).toThrow('"memory.nothing"');
});
