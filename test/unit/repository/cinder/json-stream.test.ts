/** JSON in pieces: the same as all at once, wherever it is cut, and nothing else is taken for JSON. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  JsonFault,
  type JsonHandler,
  JsonStream,
  type JsonText,
  type JsonValue,
  tooLong,
} from '../../../../daemon/repository/cinder/json-stream.ts';

/** Puts the value together again. */
class Builder implements JsonHandler {
  readonly #stack: { value: unknown[] | Map<JsonText, unknown>; key: JsonText }[] = [];
  result: unknown;

  begin(kind: 'object' | 'array'): void {
    this.#stack.push({ value: kind === 'array' ? [] : new Map<JsonText, unknown>(), key: '' });
  }

  key(name: JsonText): void {
    const top = this.#stack.at(-1);
    if (top !== undefined) top.key = name;
  }

  value(value: JsonValue): void {
    this.#put(value);
  }

  end(): void {
    const ended = this.#stack.pop()?.value;
    this.#put(ended instanceof Map ? Object.fromEntries(ended as Map<string, unknown>) : ended);
  }

  #put(value: unknown): void {
    const top = this.#stack.at(-1);
    if (top === undefined) this.result = value;
    else if (Array.isArray(top.value)) top.value.push(value);
    else top.value.set(top.key, value);
  }
}

function parse(text: string | Buffer, cut: number, stringBytesMax = 1_000_000): unknown {
  const builder = new Builder();
  const stream = new JsonStream(builder, stringBytesMax);
  const bytes = Buffer.from(text);
  // The memory of a piece is used again, as readers do.
  const piece = Buffer.alloc(cut);
  for (let at = 0; at < bytes.length; at += cut) {
    const length = bytes.copy(piece, 0, at, at + cut);
    stream.push(piece.subarray(0, length));
  }
  stream.end();
  return builder.result;
}

test('any value comes out the same, wherever the text is cut', () => {
  const spaces = fc.constantFrom(undefined, 2, '\t');
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), fc.integer({ min: 1, max: 40 }), spaces, (text, cut, indent) => {
      const value = JSON.parse(text) as unknown;
      const wanted: unknown = JSON.parse(JSON.stringify(value));
      expect(parse(JSON.stringify(value, undefined, indent), cut)).toEqual(wanted);
    }),
    { numRuns: 500 },
  );
});

test('what JSON.parse refuses is refused, and what it takes is taken', () => {
  const alphabet = fc.constantFrom(...'{}[]":,0123-+.eEtruefalsn \\u'.split(''));
  fc.assert(
    fc.property(fc.array(alphabet, { maxLength: 12 }), fc.integer({ min: 1, max: 5 }), (letters, cut) => {
      const text = letters.join('');
      let wanted: { value: unknown } | undefined;
      try {
        wanted = { value: JSON.parse(text) as unknown };
      } catch {
        wanted = undefined;
      }
      if (wanted === undefined) expect(() => parse(text, cut), text).toThrow(JsonFault);
      else expect(parse(text, cut)).toEqual(wanted.value);
    }),
    { numRuns: 5000 },
  );
});

test('a string beyond the limit is skipped and told, and depth is bounded', () => {
  const text = JSON.stringify({ a: 'x'.repeat(100), b: 'short' });
  expect(parse(text, 7, 50)).toEqual({ a: tooLong, b: 'short' });
  expect(() => parse('['.repeat(100_000), 1000)).toThrow(JsonFault);
  expect(() => parse('{"a": 1', 3)).toThrow(/ends too early/);
  expect(() => parse(`[${'1'.repeat(1000)}]`, 10)).toThrow(JsonFault);
});
