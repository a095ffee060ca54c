/** Folders that NTFS can hold, written through ntfs-3g: names, streams, links of all kinds, holes, compressed files. */

import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { folderForTest, run } from './devices.ts';
import { expected } from './view-source.ts';

/** An image that was mounted by ntfs-3g, until the test ends. `options` beside those that make modes those of a mount by root. */
export function mountedNtfs(image: string, ...options: string[]): string {
  const folder = folderForTest();
  const all = ['streams_interface=xattr', 'fmask=022', 'dmask=022', ...options];
  run('ntfs-3g', '-o', all.join(','), image, folder);
  onTestFinished(() => void run('sh', '-c', 'mountpoint -q "$1" && umount -l "$1" || true', 'sh', folder));
  return folder;
}

const attribute = (path: string, name: string, value: Uint8Array): void =>
  void run('setfattr', '-h', '-n', name, '-v', `0x${Buffer.from(value).toString('hex')}`, path);

const names = [
  'UPPER.TXT',
  'With several. dots and  blanks.text',
  '.hidden',
  'a+b,c;d=[e]',
  'ünïcödé – 漢字.txt',
  '😀'.repeat(60),
  'n'.repeat(255),
  'new\nline',
  'Straße',
  'é',
  'É',
];

/** `cluster`: bytes of a cluster of the volume. */
export function fillForNtfs(folder: string, cluster: number): void {
  const at = (...parts: string[]) => join(folder, ...parts);
  for (const [number, name] of names.entries()) writeFileSync(at(name), expected(number, 0, number * 333));
  mkdirSync(at('d', 'e', 'f'), { recursive: true });
  for (const size of [0, 1, 300, 600, 1000, 4095, 4097, 65_536, 400_001])
    writeFileSync(at(`of ${size}`), expected(size % 89, 0, size));
  mkdirSync(at('many'));
  for (let file = 0; file < 500; file++)
    writeFileSync(at('many', `file ${file} ${'x'.repeat(file % 60)}`), String(file));
  for (let file = 0; file < 500; file += 3) rmSync(at('many', `file ${file} ${'x'.repeat(file % 60)}`));
  fillInPieces(at('sparse'), [0, 2 ** 20, 5 * 2 ** 20 + 123, 2 ** 31], 9001, 2 ** 31 + 2 ** 25);
  // So many pieces that the record of the file does not hold the list of them.
  const places = Array.from({ length: 500 }, (_, piece) => (500 - piece) * cluster * 2);
  fillInPieces(at('pieces'), places, 100, 501 * cluster * 2);
  writeFileSync(at('linked'), 'linked');
  for (let link = 0; link < 24; link++) linkSync(at('linked'), at('d', `link ${link} ${'y'.repeat(link)}`));
  symlinkSync('of 1', at('to one'));
  symlinkSync(`/far/${'z'.repeat(500)}`, at('to far'));
  run('mknod', at('character'), 'c', '5', '300');
  run('mknod', at('block'), 'b', '30', '70');
  run('mkfifo', at('fifo'));
  utimesSync(at('of 1'), 1_000_000_000, 1_234_567_890.25);
  utimesSync(at('of 300'), 0, -1_893_456_000);
  attribute(at('of 300'), 'user.small', Buffer.from('value'));
  attribute(at('of 600'), 'user.of three thousand', expected(5, 0, 3000));
  attribute(at('d'), 'user.of a folder', Buffer.from('1'));
  for (let stream = 0; stream < 12; stream++)
    attribute(at('of 4095'), `user.stream ${stream}`, expected(stream, 0, 40));
  if (cluster <= 4096) fillCompressed(at('packed'));
}

function fillInPieces(path: string, places: readonly number[], pieceBytes: number, endsAt: number): void {
  const file = openSync(path, 'w');
  for (const [number, place] of places.entries()) {
    writeSync(file, expected(number % 89, 0, pieceBytes), 0, pieceBytes, place);
    if (number % 50 === 0) fsyncSync(file);
  }
  ftruncateSync(file, endsAt);
  closeSync(file);
}

/** NTFS compresses what is written into a folder with this attribute. */
export function fillCompressed(folder: string): void {
  mkdirSync(folder);
  attribute(folder, 'system.ntfs_attrib_be', Buffer.from([0, 0, 8, 0]));
  const words = Buffer.concat(
    Array.from({ length: 30_000 }, (_, at) => expected((at * at) % 83, at % 7, 3 + (at % 11))),
  );
  writeFileSync(join(folder, 'words'), words);
  writeFileSync(join(folder, 'one letter'), 'a'.repeat(1_000_000));
  writeFileSync(join(folder, 'none'), expected(1, 0, 200_000));
  const mixed = Array.from({ length: 12 }, (_, at) =>
    at % 3 === 0 ? expected(at, 0, 65_536) : Buffer.alloc(65_536, at),
  );
  writeFileSync(join(folder, 'mixed'), Buffer.concat(mixed));
  fillInPieces(join(folder, 'with holes'), [2 ** 20, 5 * 2 ** 20], 10_000, 7 * 2 ** 20);
  const changed = openSync(join(folder, 'words'), 'r+');
  writeSync(changed, expected(9, 0, 5000), 0, 5000, 70_000);
  closeSync(changed);
}

const text = (value: string) => Buffer.from(value, 'utf16le');

function numbers(...values: readonly (readonly [value: number, bytes: 2 | 4])[]): Buffer {
  const all = Buffer.alloc(values.reduce((sum, [, bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [value, bytes] of values) at = all.writeUIntLE(value, at, bytes);
  return all;
}

/** Makes a reparse point of a file or an empty folder. */
export function makeReparse(path: string, tag: number, body: Buffer): void {
  attribute(
    path,
    'system.ntfs_reparse_data',
    Buffer.concat([numbers([tag, 4], [body.length, 2], [0, 2]), body]),
  );
}

/** What a junction and a symbolic link of Windows hold. */
export const junctionTo = (target: string): Buffer => {
  const name = text(target);
  return Buffer.concat([
    numbers([0, 2], [name.length, 2], [name.length + 2, 2], [0, 2]),
    name,
    Buffer.alloc(4),
  ]);
};
export const linkTo = (target: string, isRelative: boolean): Buffer => {
  const name = text(target);
  return Buffer.concat([
    numbers([0, 2], [name.length, 2], [name.length, 2], [0, 2], [isRelative ? 1 : 0, 4]),
    name,
  ]);
};
