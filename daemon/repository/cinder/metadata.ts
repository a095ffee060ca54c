/** The `_metadata` object of a backup: read once, as a stream, into rows in a file and a few facts. Source: chunkeddriver.py.
 *  Promises: memory does not grow with the number of objects; what comes out was checked: objects in order, none over another,
 *  every name one of the backup. MANIFEST_CORRUPT says what is wrong with it. */

import { Fault } from '../../base/faults.ts';
import { volumeBytesMax } from '../../base/limits.ts';
import type { Containers, Evidence } from './containers.ts';
import {
  JsonFault,
  type JsonHandler,
  JsonStream,
  type JsonText,
  type JsonValue,
  tooLong,
} from './json-stream.ts';
import { metadataName } from './names.ts';
import { type Compression, compressionOf, encodeRow, type ObjectRow } from './object-rows.ts';

/** What a backup says of itself, besides its objects. */
export interface MetadataFacts {
  readonly backup_id: string | null;
  readonly volume_id: string | null;
  readonly backup_name: string | null;
  readonly backup_description: string | null;
  readonly created_at: string | null;
  readonly parent_id: string | null;
  /** JSON in a text; null where there is none, or it is too long to be held. */
  readonly volume_meta: string | null;
  /** What only Basalt writes: JSON in a text. */
  readonly basalt: string | null;
  readonly objects: number;
  /** Sum of the lengths. */
  readonly dataBytes: number;
  /** Where the last object ends in the volume. */
  readonly endBytes: number;
  readonly compressions: readonly Compression[];
  /** False: the rows are not in the order of their offsets. */
  readonly isSorted: boolean;
}

const pieceBytes = 256 * 1024;
/** Longest text that is held: user metadata of a volume. */
const textBytesMax = 256 * 1024;
const nameLengthMax = 1024;

export const metadataFault = (key: string, why: string): Fault =>
  new Fault('MANIFEST_CORRUPT', `Cannot use the metadata "${key}": ${why}`);

/** Streams the metadata; `append` gets the rows. */
export async function readMetadata(
  containers: Containers,
  place: { readonly container: string; readonly prefix: string },
  evidence: Evidence,
  append: (rows: Buffer) => Promise<void>,
): Promise<MetadataFacts> {
  const key = `${place.container}/${metadataName(place.prefix)}`;
  const reader = new MetadataReader(place.prefix, key);
  const stream = new JsonStream(reader, textBytesMax);
  try {
    const buffer = Buffer.alloc(Math.min(pieceBytes, evidence.sizeBytes));
    for (let at = 0; at < evidence.sizeBytes; at += pieceBytes) {
      const piece = buffer.subarray(0, Math.min(pieceBytes, evidence.sizeBytes - at));
      await containers.read(key, at, piece);
      stream.push(piece);
      const rows = reader.takeRows();
      if (rows.length > 0) await append(rows);
    }
    stream.end();
  } catch (thrown) {
    throw thrown instanceof JsonFault ? metadataFault(key, thrown.message) : thrown;
  }
  return reader.finish();
}

const textKeys = [
  'backup_id',
  'volume_id',
  'backup_name',
  'backup_description',
  'created_at',
  'parent_id',
  'volume_meta',
  'basalt',
] as const;
type TextKey = (typeof textKeys)[number];
const isTextKey = (key: JsonText): key is TextKey => (textKeys as readonly JsonText[]).includes(key);

const fieldNames = ['offset', 'length', 'compression', 'md5'] as const;
type Fields = { [K in (typeof fieldNames)[number]]?: JsonValue };
const isField = (key: JsonText): key is keyof Fields => (fieldNames as readonly JsonText[]).includes(key);

/** Depths: 1 the whole, 2 the list, 3 one name, 4 what it says of the object. */
class MetadataReader implements JsonHandler {
  readonly #prefix: string;
  readonly #key: string;
  readonly #texts: { -readonly [K in TextKey]: string | null } = {
    backup_id: null,
    volume_id: null,
    backup_name: null,
    backup_description: null,
    created_at: null,
    parent_id: null,
    volume_meta: null,
    basalt: null,
  };
  readonly #compressions = new Set<Compression>();
  #rows: Buffer[] = [];
  #depth = 0;
  #topKey: JsonText = '';
  #innerKey: JsonText = '';
  #inList = false;
  #listSeen = false;
  #version: JsonValue = null;
  #name: Pick<ObjectRow, 'number' | 'nameAt' | 'nameLength'> | undefined;
  #fields: Fields = {};
  #objects = 0;
  #dataBytes = 0;
  #endBytes = 0;
  #isSorted = true;

  constructor(prefix: string, key: string) {
    this.#prefix = prefix;
    this.#key = key;
  }

  begin(kind: 'object' | 'array'): void {
    this.#depth += 1;
    if (this.#depth === 1 && kind !== 'object') this.#fail('it is not an object');
    if (this.#depth === 2 && this.#topKey === 'objects') {
      if (kind !== 'array' || this.#listSeen) this.#fail('its "objects" is not one list');
      this.#inList = true;
      this.#listSeen = true;
    }
    if (this.#inList && this.#depth > 2 && (kind !== 'object' || this.#depth > 4)) this.#failObject();
  }

  key(name: JsonText, position: number, length: number): void {
    if (this.#depth === 1) this.#topKey = name;
    else if (this.#inList && this.#depth === 3) this.#beginObject(name, position, length);
    else if (this.#inList && this.#depth === 4) this.#innerKey = name;
  }

  value(value: JsonValue): void {
    if (this.#depth === 1) {
      if (this.#topKey === 'version') this.#version = value;
      else if (this.#topKey === 'objects') this.#fail('its "objects" is not a list');
      else if (isTextKey(this.#topKey)) this.#texts[this.#topKey] = this.#text(this.#topKey, value);
    } else if (this.#inList && this.#depth < 4) this.#failObject();
    else if (this.#inList && isField(this.#innerKey)) this.#fields[this.#innerKey] = value;
  }

  end(): void {
    if (this.#inList && this.#depth === 4) this.#endObject();
    if (this.#inList && this.#depth === 3 && this.#name !== undefined) this.#failObject();
    if (this.#depth === 2) this.#inList = false;
    this.#depth -= 1;
  }

  takeRows(): Buffer {
    return Buffer.concat(this.#rows.splice(0));
  }

  finish(): MetadataFacts {
    if (this.#version !== '1.0.0') this.#fail('its "version" is not 1.0.0');
    if (!this.#listSeen) this.#fail('its "objects" is missing');
    return {
      ...this.#texts,
      objects: this.#objects,
      dataBytes: this.#dataBytes,
      endBytes: this.#endBytes,
      compressions: [...this.#compressions].sort(),
      isSorted: this.#isSorted,
    };
  }

  #text(key: TextKey, value: JsonValue): string | null {
    if (value === null || typeof value === 'string') return value;
    if (value === tooLong && (key === 'volume_meta' || key === 'basalt')) return null;
    // A member of somebody else's of that name is none of ours.
    if (key === 'basalt' && typeof value !== 'string') return null;
    return this.#fail(`its "${key}" is not a text`);
  }

  #beginObject(name: JsonText, position: number, length: number): void {
    if (this.#name !== undefined || typeof name !== 'string' || length > nameLengthMax) this.#failObject();
    const rest = name.slice(this.#prefix.length);
    // A name with escapes could not be found again by its place.
    const isOurs = name.startsWith(this.#prefix) && Buffer.byteLength(name) === length;
    if (!isOurs || rest === '' || /[/\0]/.test(rest) || rest === '_metadata' || rest === '_sha256file')
      this.#fail(`object number ${this.#objects + 1} has a name that is none of this backup`);
    const number = /^-(\d{5}|[1-9]\d{5,14})$/.test(rest) ? Number(rest.slice(1)) : 0;
    this.#name =
      number > 0 ? { number, nameAt: 0, nameLength: 0 } : { number, nameAt: position, nameLength: length };
    this.#fields = {};
  }

  #endObject(): void {
    if (this.#name === undefined) this.#failObject();
    const { offset, length, compression: word, md5 } = this.#fields;
    if (!isBytes(offset, 0) || !isBytes(length, 1) || offset + length > volumeBytesMax) this.#failObject();
    const compression = typeof word === 'string' ? compressionOf(word) : undefined;
    if (compression === undefined)
      this.#fail(`object number ${this.#objects + 1} has an unknown compression`);
    const hasSum = md5 !== undefined && md5 !== null;
    if (hasSum && (typeof md5 !== 'string' || !/^[0-9a-f]{32}$/.test(md5))) this.#failObject();
    if (offset < this.#endBytes) this.#isSorted = false;
    this.#rows.push(encodeRow({ ...this.#name, offset, length, compression, md5: hasSum ? md5 : '' }));
    this.#objects += 1;
    this.#dataBytes += length;
    this.#endBytes = Math.max(this.#endBytes, offset + length);
    this.#compressions.add(compression);
    this.#name = undefined;
  }

  #failObject(): never {
    return this.#fail(`what it says of object number ${this.#objects + 1} is not possible`);
  }

  #fail(why: string): never {
    throw metadataFault(this.#key, why);
  }
}

const isBytes = (value: JsonValue | undefined, least: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= least && value <= volumeBytesMax;
