/** The objects of a backup as rows of one size, so that any of them is found in a file without holding the list. Pure.
 *  Promises: a row that was encoded is decoded the same. */

/** How the data of an object is kept. */
export const compressions = ['none', 'zlib', 'bz2', 'zstd'] as const;
export type Compression = (typeof compressions)[number];

/** Cinder's words for them, in lower case. */
const words: ReadonlyMap<string, Compression> = new Map([
  ['none', 'none'],
  ['off', 'none'],
  ['no', 'none'],
  ['zlib', 'zlib'],
  ['gzip', 'zlib'],
  ['bz2', 'bz2'],
  ['bzip2', 'bz2'],
  ['zstd', 'zstd'],
]);

export const compressionOf = (word: string): Compression | undefined => words.get(word.toLowerCase());

export interface ObjectRow {
  /** In the volume. */
  readonly offset: number;
  /** Of the data, not of what is stored. */
  readonly length: number;
  readonly compression: Compression;
  /** Number in the name; 0 where the name is another one. */
  readonly number: number;
  /** Where in the metadata the name is, for those without a number. */
  readonly nameAt: number;
  readonly nameLength: number;
  /** Hex; empty where the metadata has none. */
  readonly md5: string;
}

export const rowBytes = 72;
const md5At = 56;

export function encodeRow(row: ObjectRow): Buffer {
  const bytes = Buffer.alloc(rowBytes);
  const kind = compressions.indexOf(row.compression);
  const hasSum = row.md5 === '' ? 0 : 1;
  const numbers = [row.offset, row.length, kind, row.number, row.nameAt, row.nameLength, hasSum];
  numbers.forEach((value, place) => bytes.writeDoubleLE(value, place * 8));
  bytes.write(row.md5, md5At, 'hex');
  return bytes;
}

export function decodeRow(bytes: Buffer, at: number): ObjectRow {
  const number = (place: number) => bytes.readDoubleLE(at + place * 8);
  return {
    offset: number(0),
    length: number(1),
    compression: compressions[number(2)] ?? 'none',
    number: number(3),
    nameAt: number(4),
    nameLength: number(5),
    md5: number(6) === 0 ? '' : bytes.toString('hex', at + md5At, at + rowBytes),
  };
}
