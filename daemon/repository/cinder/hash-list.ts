/** The hash list of a Cinder backup: the SHA-256 of every block of the volume, read where it lies. Source: chunkeddriver.py,
 *  "_sha256file".
 *  Cinder writes one hash a line, each line as long as every other, so that the hash of any block is found without reading what
 *  is before it: nothing is copied, and a list of gigabytes costs no memory. A list that is written otherwise is copied once, in
 *  a stream, to a flat file.
 *  Promises: what `read` gives was a hash in the file just now; anything else there is CHUNK_CORRUPT. */

import { Fault } from '../../base/faults.ts';
import type { Containers, Evidence } from './containers.ts';
import { JsonFault, type JsonHandler, JsonStream, type JsonText, type JsonValue } from './json-stream.ts';
import type { StateFiles } from './state-files.ts';

export const hashBytes = 32;
/** `    "`, 64 digits, `",` and the end of the line before. */
const lineBytes = 72;
const lineStart = '\n    "';
const lineEnd = '",';
/** What stands before the list, and behind it, is a few short values. */
const edgeBytesMax = 64 * 1024;
/** Hashes that are read at a time. */
const hashesAtOnce = 4096;
const pieceBytes = 256 * 1024;

export interface HashList {
  /** Bytes of the volume behind each hash. */
  readonly chunkBytes: number;
  readonly count: number;
  /** Fills `output` with hashes from number `first` on, `hashBytes` each. CHUNK_CORRUPT. */
  read(first: number, output: Uint8Array): Promise<void>;
}

const corrupt = (key: string, why: string): Fault =>
  new Fault('CHUNK_CORRUPT', `Cannot use the hash list "${key}": ${why}`);

/** Undefined where there is none. CHUNK_CORRUPT where it is no hash list. */
export async function openHashList(
  containers: Containers,
  key: string,
  files: StateFiles,
): Promise<HashList | undefined> {
  const evidence = await containers.evidence(key);
  if (evidence === undefined) return undefined;
  const inPlace = await openLines(containers, key, evidence.sizeBytes);
  return inPlace ?? openCopy(containers, key, evidence, files);
}

/** The list as Cinder writes it; undefined where it does not look like that. */
async function openLines(
  containers: Containers,
  key: string,
  sizeBytes: number,
): Promise<HashList | undefined> {
  const text = async (position: number, length: number): Promise<string> => {
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, sizeBytes - position)));
    await containers.read(key, position, bytes);
    return bytes.toString('latin1');
  };
  const head = await text(0, edgeBytesMax);
  const mark = '\n  "sha256s": [';
  const at = head.indexOf(mark);
  if (at < 0) return undefined;
  const start = at + mark.length;
  const tailAt = Math.max(start, sizeBytes - edgeBytesMax);
  const tail = await text(tailAt, edgeBytesMax);
  const end = tail.indexOf('\n  ]');
  if (end < 0) return undefined;
  // The last line has no comma.
  const count = (tailAt + end - start + 1) / lineBytes;
  if (!Number.isInteger(count) || count < 1) return undefined;
  const chunkBytes = chunkBytesOf(`${head.slice(0, start)}${tail.slice(end)}`);
  if (chunkBytes === undefined) return undefined;
  return {
    chunkBytes,
    count,
    read: (first, output) => readLines(containers, key, start, count, first, output),
  };
}

/** What the text without its hashes says. */
function chunkBytesOf(text: string): number | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value !== 'object' || value === null || !('chunk_size' in value)) return undefined;
    return isChunkSize(value.chunk_size) ? value.chunk_size : undefined;
  } catch {
    return undefined;
  }
}

const isChunkSize = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 2 ** 40;

async function readLines(
  containers: Containers,
  key: string,
  start: number,
  count: number,
  first: number,
  output: Uint8Array,
): Promise<void> {
  const wanted = output.length / hashBytes;
  const target = Buffer.from(output.buffer, output.byteOffset, output.length);
  for (let done = 0; done < wanted; done += hashesAtOnce) {
    const lines = Math.min(hashesAtOnce, wanted - done);
    const isLast = first + done + lines === count;
    const bytes = Buffer.alloc(lines * lineBytes, lineEnd.at(-1));
    // The last line has no comma: it is put in place of what stands there.
    const length = bytes.length - (isLast ? 1 : 0);
    await containers.read(key, start + (first + done) * lineBytes, bytes.subarray(0, length));
    const text = bytes.toString('latin1');
    for (let number = 0; number < lines; number += 1) {
      const line = text.slice(number * lineBytes, (number + 1) * lineBytes);
      const digits = line.slice(lineStart.length, -lineEnd.length);
      const written = target.write(digits, (done + number) * hashBytes, 'hex');
      if (written !== hashBytes || !line.startsWith(lineStart) || !line.endsWith(lineEnd))
        throw corrupt(key, `hash number ${first + done + number} is none`);
    }
  }
}

interface Flat {
  readonly name: string;
  readonly chunkBytes: number;
  readonly count: number;
}

/** Copies the hashes to a flat file, where that has not been done yet. */
async function openCopy(
  containers: Containers,
  key: string,
  { sizeBytes, mark }: Evidence,
  files: StateFiles,
): Promise<HashList> {
  const name = files.nameOf('hashes', `${key} ${mark}`);
  const make = async (): Promise<Flat> => {
    const collector = new Collector(key);
    await files.make(name, async (append) => {
      // What is not known before the end goes behind them: the size of a block.
      const stream = new JsonStream(collector, 4096);
      for (let at = 0; at < sizeBytes; at += pieceBytes) {
        const piece = Buffer.alloc(Math.min(pieceBytes, sizeBytes - at));
        await containers.read(key, at, piece);
        pushTo(stream, piece, key);
        await append(collector.take());
      }
      endOf(stream, key);
      await append(collector.finish());
    });
    return { name, chunkBytes: collector.chunkBytes, count: collector.count };
  };
  const known = await flatOf(files, name);
  const { chunkBytes, count } = known ?? (await make());
  return { chunkBytes, count, read: (first, output) => files.read(name, first * hashBytes, output) };
}

/** What a flat file says of itself, in its last bytes; undefined where it is not there. */
async function flatOf(files: StateFiles, name: string): Promise<Flat | undefined> {
  const size = files.size(name);
  if (size === undefined) return undefined;
  const tail = new Float64Array(1);
  await files.read(name, size - 8, new Uint8Array(tail.buffer));
  return { name, chunkBytes: tail[0] ?? 0, count: (size - 8) / hashBytes };
}

function pushTo(stream: JsonStream, piece: Buffer, key: string): void {
  try {
    stream.push(piece);
  } catch (thrown) {
    throw thrown instanceof JsonFault ? corrupt(key, thrown.message) : thrown;
  }
}

function endOf(stream: JsonStream, key: string): void {
  try {
    stream.end();
  } catch (thrown) {
    throw thrown instanceof JsonFault ? corrupt(key, thrown.message) : thrown;
  }
}

/** Takes the hashes and the size of a block out of the stream. */
class Collector implements JsonHandler {
  readonly #key: string;
  #depth = 0;
  #name: JsonText = '';
  #isList = false;
  #hashes: Buffer[] = [];
  chunkBytes = 0;
  count = 0;

  constructor(key: string) {
    this.#key = key;
  }

  begin(kind: 'object' | 'array'): void {
    this.#depth += 1;
    if (this.#depth === 2) this.#isList = kind === 'array' && this.#name === 'sha256s';
  }

  key(name: JsonText): void {
    if (this.#depth === 1) this.#name = name;
  }

  value(value: JsonValue): void {
    if (this.#depth === 1 && this.#name === 'chunk_size' && isChunkSize(value)) this.chunkBytes = value;
    if (this.#depth !== 2 || !this.#isList) return;
    const isHash = typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
    if (!isHash) throw corrupt(this.#key, `hash number ${this.count} is none`);
    this.#hashes.push(Buffer.from(value, 'hex'));
    this.count += 1;
  }

  end(): void {
    this.#depth -= 1;
    if (this.#depth === 1) this.#isList = false;
  }

  /** The hashes since the last call. */
  take(): Buffer {
    return Buffer.concat(this.#hashes.splice(0));
  }

  finish(): Buffer {
    if (this.chunkBytes === 0) throw corrupt(this.#key, 'its "chunk_size" is missing or wrong');
    const tail = Buffer.alloc(8);
    tail.writeDoubleLE(this.chunkBytes);
    return tail;
  }
}
