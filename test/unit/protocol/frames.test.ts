import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import { frameBytesMax, frameDepthMax } from '../../../daemon/base/limits.ts';
import { decodeBody, encodeFrame, FrameReader, frameHeadBytes } from '../../../daemon/protocol/frames.ts';

/** Values that JSON has too; -0 has no name of its own there, and "__proto__" is refused as a key. */
const anyValue = fc
  .jsonValue({ maxDepth: frameDepthMax - 2, stringUnit: 'grapheme' })
  .map((value) => JSON.stringify(value))
  .filter((text) => !text.includes('"__proto__":'))
  .map((text): unknown => JSON.parse(text));

const bodiesOf = (reader: FrameReader, chunk: Buffer): Buffer[] =>
  [...reader.push(chunk)].map((body) => Buffer.from(body));

/** `bytes` in pieces whose sizes come from `cuts`, over and over. */
function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const list: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const end = at + (cuts[turn % cuts.length] ?? 1);
    list.push(bytes.subarray(at, end));
    at = end;
  }
  return list;
}

const announce = (length: number, body: Buffer = Buffer.alloc(0)): Buffer => {
  const head = Buffer.alloc(frameHeadBytes);
  head.writeUInt32BE(length);
  return Buffer.concat([head, body]);
};

test('any values come back the same through frames that arrive in any pieces', () => {
  fc.assert(
    fc.property(
      fc.array(anyValue, { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 4 }),
      (values, cuts) => {
        const reader = new FrameReader();
        const stream = Buffer.concat(values.map(encodeFrame));
        const bodies = pieces(stream, cuts).flatMap((piece) => bodiesOf(reader, piece));
        expect(bodies.map(decodeBody)).toEqual(values);
        expect(reader.pending).toBe(false);
      },
    ),
    { numRuns: 500 },
  );
});

test.each([0, -1, 127, 128, 2 ** 31, -(2 ** 31) - 1, 2 ** 32, 2 ** 52, 2 ** 53 - 1, -(2 ** 53) + 1, 0.1])(
  'the number %d comes back exact',
  (number) => {
    expect(decodeBody(encodeFrame({ number }).subarray(frameHeadBytes))).toEqual({ number });
  },
);

test('a 64-bit integer of another encoder is read as a number', () => {
  expect(decodeBody(Buffer.from([0xcf, 0, 0, 0, 1, 0, 0, 0, 0]))).toBe(2 ** 32);
  expect(decodeBody(Buffer.from([0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))).toBe(-1);
});

test('a field without a value is left out, as in JSON, and in a list it is nil', () => {
  const value = { a: undefined, b: { c: undefined, d: null }, e: [undefined] };
  expect(decodeBody(encodeFrame(value).subarray(frameHeadBytes))).toStrictEqual({
    b: { d: null },
    e: [null],
  });
});

test('a map of more pairs than 16 bits count comes back whole', () => {
  const value = Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`k${index}`, 0]));
  expect(decodeBody(encodeFrame(value).subarray(frameHeadBytes))).toEqual(value);
});

test('random bytes after a right length give a value or the fault PROTOCOL, nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeBody(bytes);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(Fault);
        expect((thrown as Fault).code).toBe('PROTOCOL');
      }
    }),
    { numRuns: 20_000 },
  );
});

test('a frame whose bytes were changed or cut gives a value or the fault PROTOCOL, nothing else', () => {
  fc.assert(
    fc.property(
      anyValue,
      fc.nat(),
      fc.integer({ min: 0, max: 255 }),
      fc.boolean(),
      (value, place, byte, cut) => {
        const body = encodeFrame(value).subarray(frameHeadBytes);
        const at = place % body.length;
        body[at] = byte;
        try {
          decodeBody(cut ? body.subarray(0, at) : body);
        } catch (thrown) {
          expect((thrown as Fault).code).toBe('PROTOCOL');
        }
      },
    ),
    { numRuns: 5000 },
  );
});

test('a random stream gives bodies or the fault FRAME_TOO_LARGE, nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 }), (chunks) => {
      const reader = new FrameReader();
      try {
        for (const chunk of chunks) bodiesOf(reader, Buffer.from(chunk));
      } catch (thrown) {
        expect((thrown as Fault).code).toBe('FRAME_TOO_LARGE');
      }
    }),
    { numRuns: 2000 },
  );
});

test('a value too large for a frame is refused by the sender', () => {
  expect(() => encodeFrame('x'.repeat(frameBytesMax))).toThrow(/Cannot send a message/);
  const [body] = bodiesOf(new FrameReader(), encodeFrame('x'.repeat(frameBytesMax - 5)));
  expect(body?.length).toBe(frameBytesMax);
});

test.each([frameBytesMax + 1, 2 ** 31, 2 ** 32 - 1])(
  'an announced length of %d is refused with its head, after the frames before it',
  (length) => {
    const reader = new FrameReader();
    const bodies = reader.push(Buffer.concat([encodeFrame('before'), announce(length)]));
    expect(decodeBody(bodies.next().value as Buffer)).toBe('before');
    expect(() => bodies.next()).toThrow(/Cannot take a frame of/);
  },
);

test('a thousand readers to whom the largest frame was announced hold next to nothing', () => {
  const before = process.memoryUsage();
  const readers = Array.from({ length: 1000 }, () => {
    const reader = new FrameReader();
    bodiesOf(reader, announce(frameBytesMax, Buffer.alloc(1)));
    return reader;
  });
  const after = process.memoryUsage();
  expect(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed).toBeLessThan(20e6);
  expect(readers.every((reader) => reader.pending)).toBe(true);
});

test('the largest frame in single bytes is put together in a time that grows with its length', () => {
  const reader = new FrameReader();
  const frame = encodeFrame('x'.repeat(frameBytesMax - 5));
  let bodies: Buffer[] = [];
  for (let at = 0; at < frame.length; at += 1) bodies = [...reader.push(frame.subarray(at, at + 1))];
  expect(decodeBody(bodies[0] ?? Buffer.alloc(0))).toHaveLength(frameBytesMax - 5);
});

test('a frame without a body is one body of no bytes, which is no value', () => {
  const [body] = bodiesOf(new FrameReader(), announce(0));
  expect(body).toHaveLength(0);
  expect(() => decodeBody(Buffer.alloc(0))).toThrow(/ends in the middle/);
});
