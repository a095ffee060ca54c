/** Requests to `basalt-reader` and its answers, as bytes. Source: native/reader/server.h. Pure.
 *  Promises: an answer is checked before anything of it is used: the reader has read a hostile image, and may be in its hands.
 *  What it does not know: processes and sockets. */

import { Fault } from '../../base/faults.ts';

/** Numbers of the operations. */
export const operations = {
  stat: 1,
  lookup: 2,
  list: 3,
  readLink: 4,
  read: 5,
  nextData: 6,
  attributeNames: 7,
  attribute: 8,
  gather: 10,
} as const;

export type Operation = keyof typeof operations;

export interface ReaderRequest {
  readonly operation: Operation;
  readonly node: number;
  readonly offset?: number;
  readonly length?: number;
  readonly name?: Uint8Array;
}

/** Seconds since 1970 and nanoseconds. */
export interface FileTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export interface FileAttributes {
  /** The number of the file within its file system. */
  readonly node: number;
  /** Kind and permissions, as stat(2) has them. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly sizeBytes: number;
  readonly usedBytes: number;
  readonly accessed: FileTime;
  readonly modified: FileTime;
  readonly changed: FileTime;
}

export interface ListedFile {
  readonly name: Buffer;
  readonly attributes: FileAttributes;
  /** Where the list goes on behind this one. */
  readonly position: number;
}

export interface ExtendedAttribute {
  readonly name: string;
  readonly value: Buffer;
}

/** Whether a folder can show a file under its name. The mount leaves out the others, too: with a "/" in it a name would lead
 *  elsewhere, above all out of the folder that an archive is unpacked in. */
export function hasUsableName({ name }: Pick<ListedFile, 'name'>): boolean {
  const text = name.toString('latin1');
  return text !== '' && text !== '.' && text !== '..' && !/[/\0]/.test(text);
}

/** A file of a list with what the reader could add; null: it is to be asked for by itself. */
export interface GatheredFile extends ListedFile {
  readonly details: {
    readonly target: Buffer | null;
    readonly extended: readonly ExtendedAttribute[];
  } | null;
  /** Of a small file. */
  readonly content: Buffer | null;
}

export interface FileSystemDescription {
  readonly kind: string;
  readonly label: string;
  readonly uuid: string;
  readonly root: number;
  readonly blockBytes: number;
  readonly totalBytes: number;
  /** What a user should know of what is shown, a sentence each. */
  readonly notes: readonly string[];
}

const requestHeadBytes = 29;
const answerHeadBytes = 8;
/** Most bytes of an answer: what may be asked for, and a list's last entry. */
const answerBytesMax = 1024 * 1024 + 64 * 1024;

export function encodeRequest(id: number, request: ReaderRequest): Buffer {
  const { operation, node, offset = 0, length = 0, name = new Uint8Array() } = request;
  const bytes = Buffer.alloc(requestHeadBytes + name.length);
  bytes.writeUInt32LE(bytes.length - 4, 0);
  bytes.writeUInt32LE(id, 4);
  bytes.writeUInt8(operations[operation], 8);
  bytes.writeBigUInt64LE(BigInt(node), 9);
  bytes.writeBigUInt64LE(BigInt(offset), 17);
  bytes.writeUInt32LE(length, 25);
  bytes.set(name, requestHeadBytes);
  return bytes;
}

export interface ReaderAnswer {
  readonly id: number;
  /** 0: done; else why not, and `body` says it in words. */
  readonly errno: number;
  readonly body: Buffer;
}

/** Cuts what comes from a reader into answers. */
export class AnswerStream {
  #chunks: Buffer[] = [];
  #heldBytes = 0;
  #neededBytes = 4;

  /** The answers that `chunk` completes. Throws READER_FAILED. */
  *push(chunk: Buffer): Generator<ReaderAnswer> {
    this.#chunks.push(chunk);
    this.#heldBytes += chunk.length;
    while (this.#heldBytes >= this.#neededBytes) {
      let held = this.#chunks.length === 1 ? this.#chunks[0] : undefined;
      held ??= Buffer.concat(this.#chunks);
      const length = held.readUInt32LE(0);
      if (length < answerHeadBytes || length > answerBytesMax)
        throw nonsense('an answer of a size that cannot be');
      this.#neededBytes = 4 + length;
      this.#chunks = [held];
      if (held.length < this.#neededBytes) return;
      const rest = held.subarray(this.#neededBytes);
      yield {
        id: held.readUInt32LE(4),
        errno: held.readInt32LE(8),
        body: held.subarray(12, this.#neededBytes),
      };
      this.#chunks = [rest];
      this.#heldBytes = rest.length;
      this.#neededBytes = 4;
    }
  }
}

/** What a reader that obeys the protocol can't have sent. */
export const nonsense = (what: string): Fault =>
  new Fault('READER_FAILED', `Cannot use what the reader of the file system sent: ${what}`);

/** Reads values one behind the other. */
class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.length;
  }

  #take(count: number): Buffer {
    if (count > this.#bytes.length - this.#at) throw nonsense('an answer that is too short');
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  u8 = (): number => this.#take(1).readUInt8(0);
  u32 = (): number => this.#take(4).readUInt32LE(0);
  /** Numbers beyond what JavaScript holds exactly are none that a file system needs. */
  u64 = (): number => {
    const value = Number(this.#take(8).readBigUInt64LE(0));
    if (!Number.isSafeInteger(value)) throw nonsense('a number that is too large');
    return value;
  };
  seconds = (): number => Number(this.#take(8).readBigInt64LE(0));
  bytes = (): Buffer => Buffer.from(this.#take(this.u32()));
  text = (): string => this.bytes().toString('utf8');
  latin1 = (): string => this.bytes().toString('latin1');
  time = (): FileTime => ({ seconds: this.seconds(), nanoseconds: this.u32() });
  attributes = (): FileAttributes => ({
    node: this.u64(),
    mode: this.u32(),
    links: this.u32(),
    uid: this.u32(),
    gid: this.u32(),
    deviceMajor: this.u32(),
    deviceMinor: this.u32(),
    sizeBytes: this.u64(),
    usedBytes: this.u64(),
    accessed: this.time(),
    modified: this.time(),
    changed: this.time(),
  });
}

export function decodeDescription(body: Buffer): FileSystemDescription {
  const cursor = new Cursor(body);
  const head = { kind: cursor.text(), label: cursor.text(), uuid: cursor.text() };
  const sizes = { root: cursor.u64(), blockBytes: cursor.u32(), totalBytes: cursor.u64() };
  const notes = Array.from({ length: Math.min(cursor.u32(), 16) }, () => cursor.text());
  return { ...head, ...sizes, notes };
}

export const decodeAttributes = (body: Buffer): FileAttributes => new Cursor(body).attributes();

export function decodeList(body: Buffer): { readonly files: ListedFile[]; readonly ended: boolean } {
  const cursor = new Cursor(body);
  const ended = cursor.u8() === 1;
  const files: ListedFile[] = [];
  while (!cursor.ended) {
    const position = cursor.u64();
    const attributes = cursor.attributes();
    files.push({ position, attributes, name: cursor.bytes() });
  }
  return { files, ended };
}

const withDetails = 1;
const withContent = 2;

export function decodeGather(body: Buffer): { readonly files: GatheredFile[]; readonly ended: boolean } {
  const cursor = new Cursor(body);
  const ended = cursor.u8() === 1;
  const files: GatheredFile[] = [];
  while (!cursor.ended) {
    const listed = { position: cursor.u64(), attributes: cursor.attributes(), name: cursor.bytes() };
    const has = cursor.u8();
    const details = (has & withDetails) === 0 ? null : decodeDetails(cursor);
    files.push({ ...listed, details, content: (has & withContent) === 0 ? null : cursor.bytes() });
  }
  return { files, ended };
}

function decodeDetails(cursor: Cursor): GatheredFile['details'] {
  const target = cursor.bytes();
  const extended: ExtendedAttribute[] = [];
  for (let left = cursor.u32(); left > 0; left -= 1)
    extended.push({ name: cursor.latin1(), value: cursor.bytes() });
  return { target: target.length === 0 ? null : target, extended };
}

export function decodeRange(body: Buffer): { readonly offset: number; readonly length: number } {
  const cursor = new Cursor(body);
  return { offset: cursor.u64(), length: cursor.u64() };
}
