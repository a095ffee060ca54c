/** Bytes and numbers that follow from a seed alone: AES in counter mode over zeros, at the speed of the disk. */

import { type Cipher, createCipheriv, createHash } from 'node:crypto';

export class Random {
  readonly #cipher: Cipher;

  /** Streams with different purposes do not repeat each other, whatever the seed. */
  constructor(seed: number, purpose: string) {
    const key = createHash('sha256').update(`${seed} ${purpose}`).digest();
    this.#cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16, 32));
  }

  bytes(length: number): Buffer {
    return this.#cipher.update(Buffer.alloc(length));
  }

  /** A whole number from 0 to `below` - 1. */
  below(below: number): number {
    return Math.floor((this.bytes(6).readUIntBE(0, 6) / 2 ** 48) * below);
  }

  /** Words in lines, as logs and documents have them. */
  text(length: number): Buffer {
    const pieces: string[] = [];
    const picks = this.bytes(Math.ceil(length / 2));
    for (let at = 0, characters = 0; characters < length; at += 2) {
      // Small numbers come up more often than large ones, as common words do.
      const pick = picks.readUInt8(at) * picks.readUInt8(at + 1);
      const word = at % 22 === 20 ? `${words[pick % words.length]}\n` : `${words[pick % words.length]} `;
      pieces.push(word);
      characters += word.length;
    }
    return Buffer.from(pieces.join('')).subarray(0, length);
  }
}

const syllables = [
  'ba',
  'salt',
  'ke',
  'rn',
  'lo',
  'mi',
  'vol',
  'ta',
  'set',
  'un',
  'der',
  'pa',
  'ges',
  'io',
  'ck',
  'en',
];
const words = syllables.flatMap((first) =>
  syllables.flatMap((second) => syllables.map((third) => first + second + third)),
);
