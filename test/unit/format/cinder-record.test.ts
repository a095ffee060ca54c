import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import { recordTextLengthMax } from '../../../daemon/base/limits.ts';
import { type CinderRecord, decodeRecord, encodeRecord } from '../../../daemon/format/cinder-record.ts';
import {
  nativeService,
  openNativeMetadata,
  recordServiceOf,
  recordServices,
  sealNativeMetadata,
} from '../../../daemon/format/record-service.ts';

const support = (name: string): string =>
  fileURLToPath(new URL(`../../support/cinder/${name}`, import.meta.url));
const vectorText = readFileSync(support('records.json'), 'utf8');
/** What a real Cinder made of some records: `make_records.py` says how. */
const vectors = JSON.parse(vectorText) as { record: CinderRecord; backup_url: string }[];
const [first] = vectors;

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof Fault) return `${thrown.code}: ${thrown.message}`;
    throw thrown;
  }
  return 'it succeeded';
};

const urlOf = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');
const changed = (change: Record<string, unknown>): string => urlOf({ ...first?.record, ...change });
const without = (name: string): string =>
  urlOf(Object.fromEntries(Object.entries(first?.record ?? {}).filter(([key]) => key !== name)));

test('records of a real Cinder are decoded to what it decodes them to', () => {
  expect(vectors.length).toBe(3);
  for (const { record, backup_url } of vectors) expect(decodeRecord(backup_url)).toEqual(record);
});

test('records are encoded byte for byte as a real Cinder encodes them', () => {
  for (const { record, backup_url } of vectors) expect(encodeRecord(record)).toBe(backup_url);
});

const hasCinder = spawnSync('/usr/bin/python3', ['-c', 'import cinder.objects']).status === 0;

test.skipIf(!hasCinder)('the records that are checked in are what Cinder on this machine makes', () => {
  expect(execFileSync('/usr/bin/python3', [support('make_records.py')], { encoding: 'utf8' })).toBe(
    vectorText,
  );
});

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 120 }),
  // Halves of characters, too: Python has them as they are.
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 })
    .map((units) => String.fromCharCode(...units)),
);
const optional = fc.option(text, { nil: null });
const time = fc
  .integer({ min: 0, max: 4_000_000_000 })
  .map((second) => new Date(second * 1000).toISOString().replace('.000Z', 'Z'));
const optionalTime = fc.option(time, { nil: null });
const whole = fc.integer({ min: 0, max: 4_194_304 });
const key = text.filter((name) => name !== '__proto__');
const properties = fc.array(fc.tuple(key, text), { maxLength: 5 }).map((all) => Object.fromEntries(all));

const anyRecord: fc.Arbitrary<CinderRecord> = fc.record({
  driver_info: properties,
  id: fc.uuid(),
  user_id: optional,
  project_id: optional,
  volume_id: optional,
  host: optional,
  availability_zone: optional,
  container: optional,
  parent_id: optional,
  status: optional,
  fail_reason: optional,
  size: whole,
  display_name: optional,
  display_description: optional,
  service_metadata: optional,
  service: optional,
  object_count: whole,
  temp_volume_id: optional,
  temp_snapshot_id: optional,
  num_dependent_backups: whole,
  snapshot_id: optional,
  data_timestamp: optionalTime,
  restore_volume_id: optional,
  metadata: properties,
  encryption_key_id: optional,
  created_at: optionalTime,
  updated_at: optionalTime,
  deleted_at: optionalTime,
  deleted: fc.boolean(),
});

test('what is encoded is decoded to the same record, whatever its names', () => {
  fc.assert(
    fc.property(anyRecord, (record) => {
      expect(decodeRecord(encodeRecord(record))).toEqual(record);
    }),
  );
});

test('a second encoder, made from the specification, gives the same text for any record', () => {
  const records = fc.sample(anyRecord, 400);
  const input = `${JSON.stringify(records)}\n`;
  const output = execFileSync('python3', [support('encode_records.py')], { input, encoding: 'utf8' });
  expect(records.map(encodeRecord)).toEqual(JSON.parse(output));
});

test('hostile bytes are refused with a fault, and in no time', () => {
  const bytes = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.base64String({ maxLength: 400 }),
    fc.json().map((json) => Buffer.from(json).toString('base64')),
    fc.dictionary(fc.string(), fc.jsonValue()).map((more) => changed(more)),
    fc
      .tuple(fc.constantFrom(...Object.keys(first?.record ?? {})), fc.jsonValue())
      .map(([name, value]) => changed({ [name]: value })),
    fc.nat({ max: 1000 }).map((at) => (first?.backup_url ?? '').slice(0, at)),
  );
  fc.assert(
    fc.property(bytes, (url) => {
      expect(codeOf(() => decodeRecord(url))).toMatch(/^(it succeeded$|RECORD_INVALID: Cannot use )/);
    }),
    { numRuns: 2000 },
  );
});

test.each([
  ['deep nesting', Buffer.from('['.repeat(500_000)).toString('base64')],
  ['deep nesting in a field', Buffer.from(`{"id":${'[{"a":'.repeat(80_000)}`).toString('base64')],
  ['many keys', urlOf(Object.fromEntries(Array.from({ length: 40_000 }, (_, at) => [`k${at}`, at])))],
  ['blanks', ' '.repeat(recordTextLengthMax)],
  ['more than there may be', 'A'.repeat(recordTextLengthMax + 1)],
  ['padding', '='.repeat(500_000)],
])('%s is refused within a second', (_, url) => {
  const begin = performance.now();
  expect(codeOf(() => decodeRecord(url))).toMatch(/^RECORD_INVALID/);
  expect(performance.now() - begin).toBeLessThan(1000);
});

test('line breaks in the base64 do not count', () => {
  const url = first?.backup_url ?? '';
  const wrapped = url.replaceAll(/.{76}/g, '$&\r\n');
  expect(wrapped).toContain('\n');
  expect(decodeRecord(` ${wrapped}\n`)).toEqual(first?.record);
});

test('seven fields are enough, and the others have their empty values', () => {
  const record = decodeRecord(
    urlOf({
      id: first?.record.id,
      size: 1,
      display_name: null,
      display_description: null,
      container: null,
      service_metadata: null,
      object_count: 0,
      a_field_of_a_later_cinder: { deep: [1, 2] },
    }),
  );
  expect(record).toEqual(
    expect.objectContaining({ volume_id: null, metadata: {}, data_timestamp: null, deleted: false }),
  );
  expect(Object.keys(record)).toHaveLength(29);
});

test.each([
  'id',
  'size',
  'display_name',
  'display_description',
  'container',
  'service_metadata',
  'object_count',
])('a record without "%s" is refused by its name', (name) => {
  expect(codeOf(() => decodeRecord(without(name)))).toBe(
    `RECORD_INVALID: Cannot use the "backup_url" of the record: its field "${name}" is missing`,
  );
});

test.each([
  ['id', 'no uuid'],
  ['id', '0B2A6C1E-8C5D-4F1A-9B7E-2F0D5A1C3E4F'],
  ['id', '../../../../etc/passwd'],
  ['size', -1],
  ['size', 1.5],
  ['size', '1'],
  ['size', 4_194_305],
  ['size', null],
  ['object_count', 1e300],
  ['display_name', 'n'.repeat(256)],
  ['display_name', ['a']],
  ['metadata', { key: 1 }],
  ['metadata', []],
  ['metadata', { ['k'.repeat(256)]: '' }],
  ['data_timestamp', 'yesterday'],
  ['data_timestamp', '2026-02-31T00:00:00Z'],
  ['deleted', 'no'],
])('a record with a wrong %s is refused by its name (%#)', (name, value) => {
  expect(codeOf(() => decodeRecord(changed({ [name]: value })))).toContain(
    `RECORD_INVALID: Cannot use the "backup_url" of the record: its field "${name}`,
  );
});

test('255 characters are enough for every name of Cinder, also where JavaScript counts two for one', () => {
  const name = '\u{1f600}'.repeat(255);
  expect(decodeRecord(changed({ display_name: name })).display_name).toBe(name);
  expect(codeOf(() => decodeRecord(changed({ display_name: `${name}x` })))).toContain('"display_name"');
});

test('a property that would vanish as a key of every object is refused', () => {
  const json = JSON.stringify(first?.record).replace('"metadata":{}', '"metadata":{"__proto__":"x"}');
  const url = Buffer.from(json).toString('base64');
  expect(codeOf(() => decodeRecord(url))).toContain('"metadata" has the key "__proto__"');
});

test('a service is found by its class path, and by its module as older Cinders wrote it', () => {
  for (const service of recordServices) {
    expect(recordServiceOf(service.path)).toBe(service);
    expect(recordServiceOf(service.path.replace(/\.[^.]+$/, ''))).toBe(service);
  }
  expect(recordServiceOf('cinder.backup.drivers.posix').driver).toBe('posix');
});

test.each([
  '',
  'cinder',
  'cinder.backup.drivers',
  'cinder.backup.drivers.tsm',
  `${nativeService}x`,
  '__proto__',
])('a service "%s" is unknown', (text) => {
  expect(codeOf(() => recordServiceOf(text))).toMatch(/^SERVICE_UNKNOWN/);
});

test('a Cinder takes a record for its own when its driver begins with the service: none begins with ours', () => {
  for (const { kind, path } of recordServices) expect(path.startsWith(nativeService)).toBe(kind === 'native');
});

test('where the data of a native backup is travels in its service_metadata', () => {
  const known = { repository: '0b2a6c1e-8c5d-4f1a-9b7e-2f0d5a1c3e4f', root: 'ab'.repeat(32) };
  expect(sealNativeMetadata(known).length).toBeLessThanOrEqual(255);
  expect(openNativeMetadata(sealNativeMetadata(known))).toEqual(known);
  for (const text of [null, '', '[', 'null', '{"repository":"x","root":"y"}'])
    expect(codeOf(() => openNativeMetadata(text))).toMatch(/^RECORD_INVALID/);
});
