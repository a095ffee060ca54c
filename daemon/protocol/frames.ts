/** Frames of the control socket: a 4-byte big-endian length, then a msgpack body of that length.
 *    chunks ▶ FrameReader ▶ bodies ▶ decodeBody ▶ values          values ▶ encodeFrame ▶ bytes
 *  Promises: an announced length above `frameBytesMax` is refused before a byte of it is kept; a reader never holds more
 *  than the bytes that came of one frame, whatever was announced; each byte is copied a bounded number of times.
 *  What it does not know: sockets, and what the values mean. */

import { type Options, Packr } from 'msgpackr';
import { Fault } from '../base/faults.ts';
import { frameBytesMax } from '../base/limits.ts';
import { scanBody } from './scan.ts';

export const frameHeadBytes = 4;
/** First size of the buffer for a frame that comes in parts. */
const partialBytesMin = 1024;

/** Plain msgpack, readable in any language: no records, no extensions of msgpackr. A field that is `undefined` is left out,
 *  as in JSON; `skipValues` is missing in the types of the library. */
const options: Options & { readonly skipValues: readonly unknown[] } = {
  useRecords: false,
  int64AsType: 'number',
  mapsAsObjects: true,
  moreTypes: false,
  encodeUndefinedAsNil: true,
  skipValues: [undefined],
};
const packr = new Packr(options);

/** `value` as one frame. FRAME_TOO_LARGE where it does not fit one. */
export function encodeFrame(value: unknown): Buffer {
  const body = packr.pack(value);
  if (body.length > frameBytesMax) {
    throw new Fault(
      'FRAME_TOO_LARGE',
      `Cannot send a message of "${body.length}" bytes: a frame holds at most ${frameBytesMax}`,
    );
  }
  const frame = Buffer.allocUnsafe(frameHeadBytes + body.length);
  frame.writeUInt32BE(body.length, 0);
  frame.set(body, frameHeadBytes);
  return frame;
}

/** The value of one body. PROTOCOL where it is not exactly one clean value. */
export function decodeBody(body: Uint8Array): unknown {
  scanBody(body);
  return packr.unpack(body);
}

/** Cuts a stream of chunks into bodies. */
export class FrameReader {
  readonly #head = Buffer.alloc(frameHeadBytes);
  #headBytes = 0;
  /** Length of the body that is coming; only meant while the head is whole. */
  #announced = 0;
  #partial = Buffer.alloc(0);
  #partialBytes = 0;

  /** True while a part of a frame has come and the rest has not. */
  get pending(): boolean {
    return this.#headBytes > 0;
  }

  /** The bodies that `chunk` completes, in order; each is only good until the next is asked for. Must be read to the end
   *  before the next chunk. FRAME_TOO_LARGE, after the bodies before it; the reader is of no use afterwards. */
  *push(chunk: Buffer): Generator<Buffer, void> {
    let at = 0;
    while (at < chunk.length || (this.#headBytes === frameHeadBytes && this.#announced === 0)) {
      if (this.#headBytes < frameHeadBytes) {
        at = this.#takeHead(chunk, at);
        continue;
      }
      const missing = this.#announced - this.#partialBytes;
      const end = Math.min(chunk.length, at + missing);
      if (end - at < missing) {
        this.#keep(chunk.subarray(at, end));
        return;
      }
      yield this.#complete(chunk.subarray(at, end));
      at = end;
    }
  }

  #takeHead(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + frameHeadBytes - this.#headBytes);
    chunk.copy(this.#head, this.#headBytes, at, end);
    this.#headBytes += end - at;
    if (this.#headBytes === frameHeadBytes) {
      this.#announced = this.#head.readUInt32BE(0);
      if (this.#announced > frameBytesMax) {
        throw new Fault(
          'FRAME_TOO_LARGE',
          `Cannot take a frame of "${this.#announced}" bytes: a frame holds at most ${frameBytesMax}`,
        );
      }
    }
    return end;
  }

  /** Doubling keeps copies bounded and holds no more than twice what came: an announcement alone costs nothing. */
  #keep(bytes: Buffer): void {
    const needed = this.#partialBytes + bytes.length;
    if (needed > this.#partial.length) {
      const grown = Buffer.allocUnsafe(
        Math.min(this.#announced, Math.max(needed, 2 * this.#partial.length, partialBytesMin)),
      );
      this.#partial.copy(grown, 0, 0, this.#partialBytes);
      this.#partial = grown;
    }
    bytes.copy(this.#partial, this.#partialBytes);
    this.#partialBytes = needed;
  }

  #complete(rest: Buffer): Buffer {
    let body = rest;
    if (this.#partialBytes > 0) {
      this.#keep(rest);
      body = this.#partial.subarray(0, this.#partialBytes);
      this.#partial = Buffer.alloc(0);
    }
    this.#headBytes = 0;
    this.#partialBytes = 0;
    return body;
  }
}
