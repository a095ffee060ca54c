/** Reads JSON of any size, a piece at a time. Source: RFC 8259.
 *  Promises: memory does not grow with the text; a string longer than `stringBytesMax` is skipped, and told as too long; what is no
 *  JSON, too deep or cut off is a JsonFault with its position. Knows nothing of what the values mean. */

/** Stands for a string that is longer than anybody wants to hold. */
export const tooLong = Symbol('a string that is too long');
export type JsonText = string | typeof tooLong;
export type JsonValue = JsonText | number | boolean | null;

/** Told of everything in the order of the text. `position`: of the first byte of the token. */
export interface JsonHandler {
  begin(kind: 'object' | 'array'): void;
  /** `position` and `length` are those of the characters between the quotes. */
  key(name: JsonText, position: number, length: number): void;
  value(value: JsonValue): void;
  end(): void;
}

export class JsonFault extends Error {
  override readonly name = 'JsonFault';
}

const depthMax = 32;
const numberLengthMax = 64;
const number = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const words: ReadonlyMap<string, boolean | null> = new Map([
  ['true', true],
  ['false', false],
  ['null', null],
]);

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];

/** What may come next. */
type State = 'value' | 'first value' | 'key' | 'first key' | 'colon' | 'more' | 'nothing';

export class JsonStream {
  readonly #handler: JsonHandler;
  readonly #stringBytesMax: number;
  readonly #within: ('object' | 'array')[] = [];
  #state: State = 'value';
  /** Bytes before the piece at hand. */
  #before = 0;
  /** A token that the piece before did not end. */
  #token: 'none' | 'string' | 'word' = 'none';
  #tokenAt = 0;
  #parts: Buffer[] = [];
  #partBytes = 0;
  #escaped = false;
  #hasEscape = false;
  #isLong = false;

  constructor(handler: JsonHandler, stringBytesMax: number) {
    this.#handler = handler;
    this.#stringBytesMax = stringBytesMax;
  }

  /** Bytes that were read whole. */
  get position(): number {
    return this.#before;
  }

  push(piece: Buffer): void {
    let at = 0;
    const end = piece.length;
    while (at < end) {
      if (this.#token === 'string') at = this.#string(piece, at);
      else if (this.#token === 'word') at = this.#word(piece, at);
      else {
        // Half of what Cinder writes is blanks.
        let byte = piece[at];
        while (at < end && (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09))
          byte = piece[++at];
        if (at < end) at = this.#mark(piece, at);
      }
    }
    this.#before += piece.length;
  }

  /** The text has ended. */
  end(): void {
    if (this.#token === 'word') this.#endWord();
    if (this.#state !== 'nothing') throw new JsonFault(`it ends too early, at byte ${this.#before}`);
  }

  #fail(at: number): never {
    throw new JsonFault(`byte ${this.#before + at} is not JSON`);
  }

  #mark(piece: Buffer, at: number): number {
    const byte = piece[at] ?? 0;
    const state = this.#state;
    const valueMayCome = state === 'value' || state === 'first value';
    if (byte === quote && (valueMayCome || state === 'key' || state === 'first key')) {
      this.#token = 'string';
      this.#tokenAt = this.#before + at + 1;
    } else if (byte === openBrace && valueMayCome) this.#open('object', 'first key', at);
    else if (byte === openBracket && valueMayCome) this.#open('array', 'first value', at);
    else if (byte === closeBrace && this.#mayClose('object')) this.#close();
    else if (byte === closeBracket && this.#mayClose('array')) this.#close();
    else if (byte === comma && state === 'more')
      this.#state = this.#within.at(-1) === 'object' ? 'key' : 'value';
    else if (byte === colon && state === 'colon') this.#state = 'value';
    else if (valueMayCome) {
      this.#token = 'word';
      return at;
    } else this.#fail(at);
    return at + 1;
  }

  #mayClose(kind: 'object' | 'array'): boolean {
    if (this.#within.at(-1) !== kind) return false;
    return this.#state === 'more' || this.#state === (kind === 'object' ? 'first key' : 'first value');
  }

  #open(kind: 'object' | 'array', next: State, at: number): void {
    if (this.#within.length >= depthMax) this.#fail(at);
    this.#within.push(kind);
    this.#state = next;
    this.#handler.begin(kind);
  }

  #close(): void {
    this.#within.pop();
    this.#handler.end();
    this.#valueDone();
  }

  #valueDone(): void {
    this.#state = this.#within.length === 0 ? 'nothing' : 'more';
  }

  /** From within a string to its end, or to the end of the piece. */
  #string(piece: Buffer, from: number): number {
    const end = piece.length;
    let at = from;
    if (this.#escaped) {
      this.#escaped = false;
      at += 1;
    }
    for (; at < end; at += 1) {
      const byte = piece[at] ?? 0;
      if (byte !== quote && byte !== backslash && byte >= 0x20) continue;
      if (byte === quote) {
        this.#keep(piece, from, at);
        this.#endString(at);
        return at + 1;
      }
      if (byte !== backslash) this.#fail(at);
      this.#hasEscape = true;
      at += 1;
      if (at === end) this.#escaped = true;
    }
    at = end;
    this.#keep(piece, from, at);
    return at;
  }

  #keep(piece: Buffer, from: number, to: number): void {
    if (this.#isLong || from === to) return;
    this.#partBytes += to - from;
    if (this.#partBytes > this.#stringBytesMax) {
      this.#isLong = true;
      this.#parts = [];
      return;
    }
    // The piece may be used again: what is held over is copied.
    const part = piece.subarray(from, to);
    this.#parts.push(to === piece.length ? Buffer.from(part) : part);
  }

  #endString(at: number): void {
    const length = this.#before + at - this.#tokenAt;
    const text = this.#isLong ? tooLong : this.#text(at);
    this.#token = 'none';
    this.#parts = [];
    this.#partBytes = 0;
    this.#isLong = false;
    this.#hasEscape = false;
    if (this.#state === 'key' || this.#state === 'first key') {
      this.#state = 'colon';
      this.#handler.key(text, this.#tokenAt, length);
      return;
    }
    this.#handler.value(text);
    this.#valueDone();
  }

  #text(at: number): string {
    const [only, another] = this.#parts;
    const bytes = another === undefined && only !== undefined ? only : Buffer.concat(this.#parts);
    const text = bytes.toString('utf8');
    if (!this.#hasEscape) return text;
    try {
      return String(JSON.parse(`"${text}"`));
    } catch {
      return this.#fail(at);
    }
  }

  #word(piece: Buffer, from: number): number {
    let at = from;
    for (; at < piece.length; at += 1) {
      const byte = piece[at] ?? 0;
      // A number or a word ends with anything that neither has.
      if (
        !(
          (byte >= 0x30 && byte <= 0x39) ||
          (byte | 0x20) >= 0x61 ||
          byte === 0x2b ||
          byte === 0x2d ||
          byte === 0x2e
        )
      )
        break;
      if (byte === openBracket || byte === closeBracket || byte === openBrace || byte === closeBrace) break;
    }
    this.#parts.push(Buffer.from(piece.subarray(from, at)));
    this.#partBytes += at - from;
    if (this.#partBytes > numberLengthMax || (at === from && at < piece.length && this.#partBytes === 0))
      this.#fail(at);
    if (at < piece.length) this.#endWord();
    return at;
  }

  #endWord(): void {
    const text = Buffer.concat(this.#parts).toString('latin1');
    this.#token = 'none';
    this.#parts = [];
    this.#partBytes = 0;
    const word = words.get(text);
    if (word === undefined && !number.test(text)) throw new JsonFault(`"${text}" is not JSON`);
    this.#handler.value(word === undefined ? Number(text) : word);
    this.#valueDone();
  }
}
