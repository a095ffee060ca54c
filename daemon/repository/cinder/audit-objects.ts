/** Reads every object of one backup and holds it to its MD5, its length and the hash list; tells where a slice of zeros lies.
 *  Source: chunkeddriver.py. Promises: memory is what was lent; goes on behind damage. Changes nothing. */

import { createHash, type Hash } from 'node:crypto';
import type { Native } from '../../../native/native.ts';
import { Fault } from '../../base/faults.ts';
import { segmentBytes } from '../../base/limits.ts';
import type { Layer } from './chain.ts';
import { sliceBytes } from './cut.ts';
import type { HashList } from './hash-list.ts';
import { metadataName, objectName } from './names.ts';
import { decodeRow, type ObjectRow, rowBytes } from './object-rows.ts';
import { ObjectStream, type StreamParts } from './object-stream.ts';
import { keyIn } from './places.ts';
import { hashBytes } from './runs.ts';
import type { StateFiles } from './state-files.ts';

export interface ObjectAuditParts extends StreamParts {
  readonly native: StreamParts['native'] & Pick<Native, 'hashChunks'>;
  readonly files: StateFiles;
}

/** What is found out about an object, as it is read. */
export interface ObjectSink {
  /** The object, or a block of it, is not what it should be. */
  damage(
    key: string,
    row: ObjectRow,
    why: string,
    range: { readonly offset: number; readonly length: number },
  ): void;
  /** A slice, counted from the object's start: all zeros, or not. */
  slice(offset: number, length: number, isZero: boolean): void;
  bytes(count: number): void;
}

const rowsHeld = 256;
const zeros = Buffer.alloc(64 * 1024);

/** Rows of a backup in the order of their offsets. */
export async function* rowsOf(files: StateFiles, { facts, rowsName }: Layer): AsyncIterable<ObjectRow> {
  for (let first = 0; first < facts.objects; first += rowsHeld) {
    const rows = Buffer.alloc(Math.min(rowsHeld, facts.objects - first) * rowBytes);
    await files.read(rowsName, first * rowBytes, rows);
    for (let at = 0; at < rows.length; at += rowBytes) yield decodeRow(rows, at);
  }
}

/** The name of an object: by its number, or as it stands in the metadata. */
export async function nameOf({ containers }: StreamParts, { place }: Layer, row: ObjectRow): Promise<string> {
  if (row.number > 0) return objectName(place.prefix, row.number);
  const bytes = Buffer.alloc(row.nameLength);
  await containers.read(keyIn(place, metadataName(place.prefix)), row.nameAt, bytes);
  const name = bytes.toString('utf8');
  if (name.startsWith(place.prefix) && !/[/\0]/.test(name.slice(place.prefix.length))) return name;
  throw new Fault(
    'MANIFEST_CORRUPT',
    `Cannot use the metadata of backup "${place.backupId}": it has changed`,
  );
}

export interface ObjectAudit {
  readonly layer: Layer;
  readonly hashes: HashList | undefined;
  /** Lent memory of `segmentBytes`. */
  readonly buffer: Uint8Array;
  readonly sink: ObjectSink;
  readonly signal: AbortSignal;
}

/** Reads one object to its end. */
export async function auditObject(
  parts: ObjectAuditParts,
  row: ObjectRow,
  audit: ObjectAudit,
): Promise<void> {
  const { layer, sink, buffer, signal } = audit;
  const key = keyIn(layer.place, await nameOf(parts, layer, row));
  const whole = { offset: row.offset, length: row.length };
  let stream: ObjectStream | undefined;
  try {
    stream = await ObjectStream.open(parts, { key, row });
    const check = blockCheck(parts, row, audit, key);
    // Whole slices at a time: those that Cinder looks at are counted from the object's start.
    for (let at = 0; at < row.length; at += sliceBytes) {
      signal.throwIfAborted();
      const bytes = buffer.subarray(0, Math.min(sliceBytes, row.length - at));
      await stream.read(bytes);
      await check(at, bytes);
      sink.slice(row.offset + at, bytes.length, isZero(bytes));
      sink.bytes(bytes.length);
    }
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof Fault)) throw thrown;
    sink.damage(key, row, thrown.message.replace(`Cannot read object "${key}": `, ''), whole);
  } finally {
    stream?.close();
  }
}

function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const part = bytes.subarray(at, at + zeros.length);
    if (zeros.compare(part, 0, part.length, 0, part.length) !== 0) return false;
  }
  return true;
}

type Check = (at: number, bytes: Uint8Array) => Promise<void>;

/** Holds the blocks of an object to the hash list; nothing where there is none, or the object does not begin at a block. */
function blockCheck(parts: ObjectAuditParts, row: ObjectRow, audit: ObjectAudit, key: string): Check {
  const { hashes, sink } = audit;
  if (hashes === undefined) return () => Promise.resolve();
  const { chunkBytes, count } = hashes;
  if (row.offset % chunkBytes !== 0) {
    sink.damage(key, row, `it begins at byte ${row.offset}, which is no multiple of ${chunkBytes}`, row);
    return () => Promise.resolve();
  }
  const compare = async (at: number, found: Buffer, lengthOf: (number: number) => number) => {
    const first = (row.offset + at) / chunkBytes;
    const there = Math.max(0, Math.min(found.length / hashBytes, count - first));
    const wanted = Buffer.alloc(there * hashBytes);
    await hashes.read(first, wanted);
    for (let number = 0; number < found.length / hashBytes; number += 1) {
      const [begin, end] = [number * hashBytes, (number + 1) * hashBytes];
      if (number < there && found.compare(wanted, begin, end, begin, end) === 0) continue;
      const offset = row.offset + at + number * chunkBytes;
      const why =
        number < there ? 'its SHA-256 is not that of the hash list' : 'it is behind the end of the hash list';
      sink.damage(key, row, why, { offset, length: lengthOf(number) });
    }
  };
  return segmentBytes % chunkBytes === 0
    ? checkAtOnce(parts, chunkBytes, compare)
    : checkAcross(row, chunkBytes, compare);
}

type Compare = (at: number, found: Buffer, lengthOf: (number: number) => number) => Promise<void>;

/** Every slice has whole blocks. */
function checkAtOnce({ native }: ObjectAuditParts, blockBytes: number, compare: Compare): Check {
  return async (at, bytes) => {
    const count = Math.ceil(bytes.length / blockBytes);
    const [hashes, zeroFlags] = [Buffer.alloc(count * hashBytes), Buffer.alloc(count)];
    const where = { fd: -1, directFd: -1, position: 0, length: bytes.length, blockBytes };
    await native.hashChunks({ ...where, input: bytes, hashes, zeros: zeroFlags });
    await compare(at, hashes, (number) => Math.min(blockBytes, bytes.length - number * blockBytes));
  };
}

/** Blocks reach over slices. */
function checkAcross(row: ObjectRow, blockBytes: number, compare: Compare): Check {
  let hash: Hash = createHash('sha256');
  return async (at, bytes) => {
    for (let done = 0; done < bytes.length; ) {
      const position = at + done;
      const begin = Math.floor(position / blockBytes) * blockBytes;
      const end = Math.min(begin + blockBytes, row.length);
      const part = bytes.subarray(done, done + end - position);
      hash.update(part);
      done += part.length;
      if (position + part.length < end) continue;
      const found = hash.digest();
      hash = createHash('sha256');
      await compare(begin, found, () => end - begin);
    }
  };
}
