/** Cinder's backup record as it is exported and imported: base64 of one line of ASCII JSON. Source: FORMAT.md, "Cinder's
 *  record". Pure.
 *  Promises: what is encoded has Cinder's fields in Cinder's order, byte for byte as Cinder writes them; what `decodeRecord`
 *  gives was checked whole, and everything else is RECORD_INVALID with a sentence that says why, however hostile the text.
 *  What it does not know: repositories, and whether the data is there. */

import { z } from 'zod';
import { GiB } from '../base/bytes.ts';
import { Fault } from '../base/faults.ts';
import { recordTextLengthMax, volumeBytesMax } from '../base/limits.ts';

/** Cinder keeps at most 255 characters, and counts whole ones where JavaScript counts halves. */
const text = z
  .string()
  .max(510)
  .refine((value) => value.length <= 255 || Array.from(value).length <= 255, 'at most 255 characters');
const optionalText = text.nullish().transform((value) => value ?? null);
const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
/** Seconds are all that Cinder writes; a fraction and another offset are read all the same. */
const time = z.iso
  .datetime({ offset: true })
  .max(64)
  .nullish()
  .transform((value) => (value === null || value === undefined ? null : wholeSeconds(value)));
const object = z.record(z.string(), z.unknown()).nullish();

const recordShape = z.object({
  driver_info: object.transform((value) => value ?? {}),
  id: z.uuid().regex(/^[0-9a-f-]+$/, 'an id is written in lower case'),
  user_id: optionalText,
  project_id: optionalText,
  volume_id: optionalText,
  host: optionalText,
  availability_zone: optionalText,
  container: text.nullable(),
  parent_id: optionalText,
  status: optionalText,
  fail_reason: optionalText,
  size: count.max(volumeBytesMax / GiB),
  display_name: text.nullable(),
  display_description: text.nullable(),
  service_metadata: text.nullable(),
  service: optionalText,
  object_count: count,
  temp_volume_id: optionalText,
  temp_snapshot_id: optionalText,
  num_dependent_backups: count.nullish().transform((value) => value ?? 0),
  snapshot_id: optionalText,
  data_timestamp: time,
  restore_volume_id: optionalText,
  metadata: z
    .record(text, text)
    .nullish()
    .transform((value) => value ?? {}),
  encryption_key_id: optionalText,
  created_at: time,
  updated_at: time,
  deleted_at: time,
  deleted: z
    .boolean()
    .nullish()
    .transform((value) => value ?? false),
});

/** Sizes are in GiB, times are `YYYY-MM-DDTHH:MM:SSZ`, as Cinder has them. */
export type CinderRecord = z.output<typeof recordShape>;

const fieldNames = Object.keys(recordShape.shape) as (keyof CinderRecord)[];
/** What Cinder asks for before it looks for a service, and what the service asks for then. */
const requiredFields = [
  'id',
  'size',
  'display_name',
  'display_description',
  'container',
  'service_metadata',
  'object_count',
] as const satisfies readonly (keyof CinderRecord)[];

/** A time as Cinder writes it. */
export const wholeSeconds = (isoTime: string): string =>
  new Date(isoTime).toISOString().replace(/\.\d{3}Z$/, 'Z');

/** The `backup_url` of a record. */
export function encodeRecord(record: CinderRecord): string {
  const members = fieldNames.map((name) => `"${name}": ${pythonJson(record[name])}`);
  return Buffer.from(`{${members.join(', ')}}`, 'latin1').toString('base64');
}

/** JSON as Python writes it: a blank behind every comma and colon, everything but printable ASCII escaped. */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, inner]) => `${pythonJson(key)}: ${pythonJson(inner)}`);
    return `{${members.join(', ')}}`;
  }
  return JSON.stringify(value).replaceAll(
    /[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const invalid = (why: string, cause?: unknown): Fault =>
  new Fault('RECORD_INVALID', `Cannot use the "backup_url" of the record: ${why}`, { cause });

/** The record that `url` spells. Line breaks and blanks in it do not count. RECORD_INVALID. */
export function decodeRecord(url: string): CinderRecord {
  if (url.length > recordTextLengthMax) throw invalid(`it is longer than ${recordTextLengthMax} characters`);
  const packed = url.replaceAll(/[\r\n\t ]/g, '');
  if (packed === '' || packed.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(packed))
    throw invalid('it is no base64');
  const value = parseJson(Buffer.from(packed, 'base64'));
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid('it holds no JSON object');
  for (const name of requiredFields)
    if (!Object.hasOwn(value, name)) throw invalid(`its field "${name}" is missing`);
  refuseOddKeys(value);
  const parsed = recordShape.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.path.map(String).join('.').slice(0, 64) ?? '';
  throw invalid(`its field "${field}" is wrong: ${issue?.message ?? 'unknown'}`);
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch (thrown) {
    throw invalid('it holds no JSON', thrown);
  }
}

/** A key by this name can't be told from what every object has: it would vanish on its way, so it is refused. */
function refuseOddKeys(value: object): void {
  for (const name of ['metadata', 'driver_info'] as const) {
    const inner: unknown = name in value ? Reflect.get(value, name) : undefined;
    if (typeof inner === 'object' && inner !== null && Object.hasOwn(inner, '__proto__'))
      throw invalid(`its field "${name}" has the key "__proto__"`);
  }
}
