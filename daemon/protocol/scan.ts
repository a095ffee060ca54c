/** Looks over a msgpack body before the decoder sees it, so that hostile bytes can't make the decoder allocate or recurse.
 *  Promises: one pass, no recursion, no allocation on the way; what passes is exactly one value, at most `frameDepthMax`
 *  containers deep, whose announced lengths all fit the bytes that are there, with text keys only and no extensions.
 *  What it does not know: which messages there are, and whether text is well-formed UTF-8 (the decoder mends it). */

import { Fault } from '../base/faults.ts';
import { frameDepthMax } from '../base/limits.ts';

const protoKey = Buffer.from('__proto__', 'latin1');

/** Bytes behind the tag that a fixed-size item has, by tag minus 0xca (floats, then unsigned, then signed). */
const numberBytes = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8] as const;

const refuse = (why: string): never => {
  throw new Fault('PROTOCOL', `Cannot read the message: ${why}`);
};

class Scanner {
  #at = 0;
  #depth = 0;
  /** Items (a map: keys and values) still to come in each open container. */
  readonly #left = new Uint32Array(frameDepthMax);
  readonly #isMap = new Uint8Array(frameDepthMax);

  scan(body: Uint8Array): void {
    this.#at = 0;
    this.#depth = 0;
    do {
      const isKey = this.#takePlace();
      this.#item(body, isKey);
      while (this.#depth > 0 && this.#left[this.#depth - 1] === 0) this.#depth -= 1;
    } while (this.#depth > 0);
    if (this.#at !== body.length) refuse(`${body.length - this.#at} bytes follow its value`);
  }

  /** Counts the next item in its container, and says whether it is the key of a map. */
  #takePlace(): boolean {
    const top = this.#depth - 1;
    if (top < 0) return false;
    const left = this.#left[top] ?? 0;
    this.#left[top] = left - 1;
    return this.#isMap[top] === 1 && left % 2 === 0;
  }

  #item(body: Uint8Array, isKey: boolean): void {
    const tag = this.#number(body, 1);
    if (tag >= 0xa0 && tag <= 0xbf) this.#text(body, tag & 0x1f, isKey);
    else if (tag >= 0xd9 && tag <= 0xdb) this.#text(body, this.#number(body, 2 ** (tag - 0xd9)), isKey);
    else if (isKey) refuse('a key of a map is not text');
    else if (tag <= 0x7f || tag >= 0xe0 || tag === 0xc0 || tag === 0xc2 || tag === 0xc3) return;
    else if (tag <= 0x8f) this.#open(body, (tag & 0x0f) * 2, true);
    else if (tag <= 0x9f) this.#open(body, tag & 0x0f, false);
    else if (tag >= 0xc4 && tag <= 0xc6) this.#skip(body, this.#number(body, 2 ** (tag - 0xc4)));
    else if (tag >= 0xca && tag <= 0xd3) this.#skip(body, numberBytes[tag - 0xca] ?? 0);
    else if (tag === 0xdc || tag === 0xdd) this.#open(body, this.#number(body, tag === 0xdc ? 2 : 4), false);
    else if (tag === 0xde || tag === 0xdf)
      this.#open(body, this.#number(body, tag === 0xde ? 2 : 4) * 2, true);
    else refuse(tag === 0xc1 ? 'byte 0xc1 begins no value' : 'extension types are not part of the protocol');
  }

  /** Every item has at least one byte, so more items than bytes can't be there. */
  #open(body: Uint8Array, items: number, isMap: boolean): void {
    if (items > body.length - this.#at) refuse('it announces more items than it has bytes');
    if (this.#depth === frameDepthMax) refuse(`it is nested deeper than ${frameDepthMax}`);
    this.#left[this.#depth] = items;
    this.#isMap[this.#depth] = isMap ? 1 : 0;
    this.#depth += 1;
  }

  #text(body: Uint8Array, length: number, isKey: boolean): void {
    const from = this.#at;
    this.#skip(body, length);
    if (!isKey || length !== protoKey.length) return;
    for (let index = 0; index < length; index += 1) if (body[from + index] !== protoKey[index]) return;
    refuse('"__proto__" is not usable as a key');
  }

  #skip(body: Uint8Array, length: number): void {
    if (length > body.length - this.#at) refuse('it ends in the middle of a value');
    this.#at += length;
  }

  #number(body: Uint8Array, bytes: number): number {
    this.#skip(body, bytes);
    let value = 0;
    for (let index = this.#at - bytes; index < this.#at; index += 1) value = value * 256 + (body[index] ?? 0);
    return value;
  }
}

/** One for all: a scan is over before anything else runs. */
const scanner = new Scanner();

/** PROTOCOL, with what is wrong, unless `body` is one clean msgpack value. */
export function scanBody(body: Uint8Array): void {
  scanner.scan(body);
}
