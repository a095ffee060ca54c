/** A Cinder backup as a manifest: what its metadata says, in the words that records have. Pure.
 *  Promises: whatever the metadata says, the texts fit the catalog; what it does not say is null or zero, never made up. */

import { propertiesBytesMax } from '../../base/limits.ts';
import { type BackupManifest, parseStoredFacts } from '../../format/manifest.ts';
import type { Layer } from './chain.ts';

/** Longest text of a record, and longest key or value of a property. */
const textMax = 255;

interface VolumeMeta {
  readonly name: string | null;
  readonly zone: string | null;
  readonly encryptionKey: string | null;
  /** Properties of the volume. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** `layers`: the newest first. */
export function manifestOf(layers: readonly [Layer, ...Layer[]], sizeBytes: number): BackupManifest {
  const [{ place, facts }] = layers;
  const createdAt = timeOf(facts.created_at) ?? timeOfPrefix(place.prefix);
  const volume = readVolumeMeta(facts.volume_meta);
  const volumeId = short(facts.volume_id) ?? place.volumeId;
  const cinder = {
    prefix: place.prefix,
    chain: layers.map((layer) => layer.place.backupId),
    compressions: [...new Set(layers.flatMap((layer) => layer.facts.compressions))],
  };
  const own = parseStoredFacts(facts.basalt);
  if (own !== undefined && own.backup.id === place.backupId && own.volume.id === volumeId) {
    return {
      ...own,
      backup: { ...own.backup, parent_id: facts.parent_id, container: place.container },
      volume: { ...own.volume, size_bytes: sizeBytes },
      object_count: facts.objects,
      cinder,
    };
  }
  return {
    backup: {
      id: place.backupId,
      name: short(facts.backup_name),
      description: short(facts.backup_description),
      project_id: 'default',
      parent_id: facts.parent_id,
      snapshot_id: null,
      container: place.container,
      availability_zone: volume.zone,
      metadata: {},
      created_at: createdAt,
      data_timestamp: createdAt,
      ...(volume.encryptionKey === null ? {} : { encryption_key_id: volume.encryptionKey }),
    },
    volume: {
      id: volumeId,
      name: volume.name ?? volumeId,
      source: '',
      size_bytes: sizeBytes,
      metadata: volume.metadata,
    },
    statistics: {
      read_bytes: facts.dataBytes,
      zero_bytes: 0,
      known_bytes: 0,
      new_bytes: facts.dataBytes,
      stored_bytes: 0,
    },
    consistency: 'unknown: Cinder does not say',
    object_count: facts.objects,
    cinder,
  };
}

const short = (text: string | null): string | null => (text === null ? null : text.slice(0, textMax));

/** Python's `str` of a time; UTC where it does not say. */
function timeOf(text: string | null): string | undefined {
  const match = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?$/.exec(text ?? '');
  if (match === null) return undefined;
  const time = new Date(`${match[1]}T${match[2]}${(match[3] ?? '').slice(0, 4)}${match[4] ?? 'Z'}`);
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString();
}

function timeOfPrefix(prefix: string): string {
  const [, year, month, day, hour, minute, second] =
    /[_/](\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)[_/]/.exec(prefix) ?? [];
  const time = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return (Number.isNaN(time.getTime()) ? new Date(0) : time).toISOString();
}

/** The few things of Cinder's volume row that a record has a place for, and the properties of the volume. */
function readVolumeMeta(text: string | null): VolumeMeta {
  const whole = parse(text);
  const base = memberOf(whole, 'volume-base-metadata');
  const textOf = (key: string): string | null => {
    const value = memberOf(base, key);
    return typeof value === 'string' && value !== '' ? value.slice(0, textMax) : null;
  };
  return {
    name: textOf('display_name'),
    zone: textOf('availability_zone'),
    encryptionKey: textOf('encryption_key_id'),
    metadata: propertiesOf(memberOf(whole, 'volume-metadata')),
  };
}

/** What is no property, or would not fit a record, is left out. */
function propertiesOf(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {};
  const properties = Object.entries(value).filter(
    (entry): entry is [string, string] =>
      typeof entry[1] === 'string' &&
      entry[0] !== '__proto__' &&
      entry[0].length <= textMax &&
      entry[1].length <= textMax,
  );
  const fitting = Object.fromEntries(properties);
  return JSON.stringify(fitting).length <= propertiesBytesMax ? fitting : {};
}

function parse(text: string | null): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return null;
  }
}

function memberOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[key];
}
