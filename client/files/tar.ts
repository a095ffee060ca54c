/** Files as a stream of the POSIX tar format. Source: POSIX.1-2017, pax, "pax Interchange Format".
 *  Promises: names are kept byte for byte, also where they are no UTF-8; sizes, times and names beyond what the old header holds go
 *  into an extended header, and so do holes, in the form 1.0 of GNU tar, which others read, too. Pure. What it does not know: where the files come from. */

import type { FileValue } from '../../daemon/protocol/values.ts';
import type { Extent } from '../extents.ts';

const blockBytes = 512;
/** Types of entries that tar knows; sockets have none. */
const types: Readonly<Record<string, string>> = {
  file: '0',
  link: '2',
  character: '3',
  block: '4',
  folder: '5',
  fifo: '6',
};
const octalMax = { 8: 0o7777777, 12: 0o77777777777 } as const;

export const canBeInTar = ({ kind }: FileValue): boolean => Object.hasOwn(types, kind);

export interface TarEntry {
  readonly path: Buffer;
  readonly file: FileValue;
  /** Of a symbolic link. */
  readonly target?: Buffer;
  /** The path of an earlier entry that is the same file. */
  readonly sameAs?: Buffer;
  readonly attributes?: readonly { readonly name: string; readonly value: Buffer }[];
  /** What of a file is in the archive, as `inWholeBlocks` gives it; absent: all of it. */
  readonly extents?: readonly Extent[];
}

/** The same extents, so that each but the last ends with a block of the archive; the last says how long the file is. */
export function inWholeBlocks(extents: readonly Extent[], sizeBytes: number): Extent[] {
  const whole: Extent[] = [];
  for (const [offset, length] of extents) {
    const begin = offset - (offset % blockBytes);
    const end = Math.min(sizeBytes, Math.ceil((offset + length) / blockBytes) * blockBytes);
    const last = whole.at(-1);
    if (last !== undefined && last[0] + last[1] >= begin) last[1] = end - last[0];
    else whole.push([begin, end - begin]);
  }
  const last = whole.at(-1);
  if (last === undefined || last[0] + last[1] < sizeBytes) whole.push([sizeBytes, 0]);
  return whole;
}

/** What stands between the head of a file with holes and its extents. */
export function tarMap(extents: readonly Extent[]): Buffer {
  const numbers = [extents.length, ...extents.flat()];
  const text = Buffer.from(numbers.map((number) => `${number}\n`).join(''));
  return Buffer.concat([text, tarPadding(text.length)]);
}

/** What stands before the content of an entry. */
export function tarHead(entry: TarEntry): Buffer {
  const { file, sameAs, target, attributes = [] } = entry;
  const { extents } = entry;
  const ownPath = file.kind === 'folder' ? Buffer.concat([entry.path, Buffer.from('/')]) : entry.path;
  // Who knows nothing of holes finds a file that is not the real one, under a name that says so.
  const path = extents === undefined ? ownPath : Buffer.from('GNUSparseFile.0/file');
  const link = sameAs ?? target ?? Buffer.alloc(0);
  const sizeBytes = contentBytes(entry);
  const records: Buffer[] = [];
  if (extents !== undefined)
    records.push(
      record('GNU.sparse.major', Buffer.from('1')),
      record('GNU.sparse.minor', Buffer.from('0')),
      record('GNU.sparse.name', ownPath),
      record('GNU.sparse.realsize', Buffer.from(String(file.size_bytes))),
    );
  if (path.length > 100) records.push(record('path', path));
  if (link.length > 100) records.push(record('linkpath', link));
  if (sizeBytes > octalMax[12]) records.push(record('size', Buffer.from(String(sizeBytes))));
  if (file.uid > octalMax[8]) records.push(record('uid', Buffer.from(String(file.uid))));
  if (file.gid > octalMax[8]) records.push(record('gid', Buffer.from(String(file.gid))));
  const modified = secondsOf(file.modified_at);
  if (modified.fraction !== '' || modified.whole < 0 || modified.whole > octalMax[12])
    records.push(record('mtime', Buffer.from(`${modified.whole}${modified.fraction}`)));
  for (const { name, value } of attributes) records.push(record(`SCHILY.xattr.${keyOf(name)}`, value));
  const main = header(entry, path, link, sizeBytes, Math.max(0, modified.whole));
  if (records.length === 0) return main;
  // Names that are no UTF-8 break a rule that readers don't insist on, once they are told.
  const isText = records.every((bytes) => Buffer.from(bytes.toString('utf8')).equals(bytes));
  if (!isText) records.unshift(record('hdrcharset', Buffer.from('BINARY')));
  const body = Buffer.concat(records);
  const extended = header(
    { ...entry, file: { ...file, kind: 'file', mode: '0644' } },
    Buffer.from('PaxHeaders/x'),
    Buffer.alloc(0),
    body.length,
    0,
    'x',
  );
  return Buffer.concat([extended, body, tarPadding(body.length), main]);
}

/** Bytes of content that follow the head. */
export function contentBytes({ file, sameAs, extents }: TarEntry): number {
  if (file.kind !== 'file' || sameAs !== undefined) return 0;
  if (extents === undefined) return file.size_bytes;
  return tarMap(extents).length + extents.reduce((sum, [, length]) => sum + length, 0);
}

/** What stands behind `bytes` of content. */
export const tarPadding = (bytes: number): Buffer =>
  Buffer.alloc((blockBytes - (bytes % blockBytes)) % blockBytes);

/** The end of a stream. */
export const tarEnd = (): Buffer => Buffer.alloc(2 * blockBytes);

/** "LENGTH key=value\n", where the length counts itself. */
function record(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** The first "=" ends a key: GNU tar writes one that is in the name of an attribute so, and reads it so. */
const keyOf = (name: string): string => name.replaceAll('%', '%25').replaceAll('=', '%3D');

function secondsOf(time: string | null): { readonly whole: number; readonly fraction: string } {
  if (time === null) return { whole: 0, fraction: '' };
  const milliseconds = Date.parse(time.replace(/\.\d+Z$/, 'Z'));
  const fraction = /\.(\d+)Z$/.exec(time)?.[1]?.replace(/0+$/, '') ?? '';
  const whole = milliseconds / 1000;
  // Behind the point a number counts up from the whole one below it; before 1970 it would have to count down.
  return { whole, fraction: fraction === '' || whole < 0 ? '' : `.${fraction}` };
}

function header(
  { file, sameAs }: TarEntry,
  path: Buffer,
  link: Buffer,
  sizeBytes: number,
  modified: number,
  type = sameAs === undefined ? (types[file.kind] ?? '0') : '1',
): Buffer {
  const bytes = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, length: 8 | 12) =>
    bytes.write(
      Math.min(value, octalMax[length])
        .toString(8)
        .padStart(length - 1, '0'),
      at,
      'latin1',
    );
  bytes.set(path.subarray(0, 100), 0);
  octal(Number.parseInt(file.mode, 8), 100, 8);
  octal(file.uid, 108, 8);
  octal(file.gid, 116, 8);
  octal(sizeBytes, 124, 12);
  octal(modified, 136, 12);
  bytes.fill(' ', 148, 156);
  bytes.write(type, 156, 'latin1');
  bytes.set(link.subarray(0, 100), 157);
  bytes.write('ustar\u000000', 257, 'latin1');
  const [major = 0, minor = 0] = (file.device ?? '0:0').split(':').map(Number);
  octal(major, 329, 8);
  octal(minor, 337, 8);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}
