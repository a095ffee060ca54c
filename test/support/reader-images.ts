/** File systems with a bit of everything in them, and the comparison of what a reader shows with what the kernel shows. */

import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Reader } from '../../daemon/view/browse/reader.ts';
import {
  decodeAttributes,
  decodeGather,
  decodeList,
  decodeRange,
  type FileAttributes,
  type GatheredFile,
  type ListedFile,
} from '../../daemon/view/browse/wire.ts';
import { readerProgram } from '../../native/native.ts';
import { run } from './devices.ts';
import { expected } from './view-source.ts';

export const openReader = (imagePath: string): Promise<Reader> =>
  Reader.open({ program: readerProgram, imagePath, offset: 0, sizeBytes: undefined });

/** Files of all kinds, odd names, holes, attributes, and a folder with an index. */
export function fillFolder(folder: string): void {
  const at = (...names: string[]) => join(folder, ...names);
  mkdirSync(at('d', 'e', 'f'), { recursive: true });
  writeFileSync(at('empty'), '');
  writeFileSync(at('tiny'), 'x'.repeat(37));
  writeFileSync(at('little'), expected(3, 0, 5001));
  writeFileSync(at('large'), expected(4, 0, 3 * 2 ** 20 + 17));
  const sparse = openSync(at('sparse'), 'w');
  for (const offset of [0, 2 ** 20, 5 * 2 ** 20 + 123, 2 ** 31])
    writeSync(sparse, expected(offset % 97, 0, 9001), 0, 9001, offset);
  ftruncateSync(sparse, 2 ** 31 + 2 ** 25);
  closeSync(sparse);
  const pieces = openSync(at('pieces'), 'w');
  for (let piece = 0; piece < 900; piece++) writeSync(pieces, expected(piece, 0, 600), 0, 600, piece * 8192);
  closeSync(pieces);
  run('sh', '-c', 'fallocate -l 3M "$1" 2>/dev/null || truncate -s 3M "$1"', 'sh', at('reserved'));
  const reserved = openSync(at('reserved'), 'r+');
  writeSync(reserved, 'abc', 100_000);
  closeSync(reserved);
  for (const length of [10, 59, 60, 61, 150, 900]) symlinkSync('a'.repeat(length), at(`link${length}`));
  symlinkSync('/tiny', at('d', 'up'));
  linkSync(at('tiny'), at('d', 'hard'));
  run('mknod', at('character'), 'c', '5', '300');
  run('mknod', at('block'), 'b', '300', '70000');
  run('mkfifo', at('fifo'));
  chownSync(at('tiny'), 70_000, 80_000);
  chmodSync(at('tiny'), 0o4711);
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0xfe, 0x20, 0x0a])]), 'odd');
  writeFileSync(at('n'.repeat(255)), 'long');
  run('setfattr', '-n', 'user.small', '-v', 'value', at('tiny'));
  run('setfattr', '-n', 'user.large', '-v', 'v'.repeat(700), at('little'));
  run('setfattr', '-n', 'trusted.kept', '-v', '0x0001', at('d'));
  run('setfacl', '-m', 'u:1000:rw,g:12:r', at('tiny'));
  run('setfacl', '-d', '-m', 'u:7:rwx', at('d'));
  utimesSync(at('little'), 2 ** 33, 2 ** 33);
  mkdirSync(at('many'));
  for (let file = 0; file < 1500; file++)
    writeFileSync(at('many', `file-${file}-${'x'.repeat(file % 40)}`), String(file));
}

export async function filesIn(reader: Reader, node: number): Promise<ListedFile[]> {
  const all: ListedFile[] = [];
  for (let position = 0; ; ) {
    const { files, ended } = decodeList(
      await reader.call({ operation: 'list', node, offset: position, length: 8192 }),
    );
    all.push(...files);
    if (ended) return all;
    position = files.at(-1)?.position ?? 0;
  }
}

export const findIn = async (reader: Reader, node: number, name: Buffer): Promise<FileAttributes> =>
  decodeAttributes(await reader.call({ operation: 'lookup', node, name }));

/** SHA-256 of the data of a file and where it is; holes are not read. */
async function digestOf(reader: Reader, { node, sizeBytes }: FileAttributes): Promise<string> {
  const hash = createHash('sha256');
  for (let offset = 0; offset < sizeBytes; ) {
    const data = decodeRange(await reader.call({ operation: 'nextData', node, offset }));
    if (data.length === 0) break;
    offset = data.offset;
    const length = Math.min(data.length, 2 ** 20);
    const bytes = await reader.call({ operation: 'read', node, offset, length });
    if (bytes.some((byte) => byte !== 0)) hash.update(`${offset}:`).update(bytes);
    offset += bytes.length;
  }
  return hash.digest('hex');
}

/** The same of a file of the kernel, in the pieces that the reader made. */
async function digestAsKernel(
  reader: Reader,
  { node, sizeBytes }: FileAttributes,
  path: Buffer,
): Promise<string> {
  const hash = createHash('sha256');
  const whole = sizeBytes < 2 ** 26 ? readFileSync(path) : undefined;
  for (let offset = 0; offset < sizeBytes; ) {
    const data = decodeRange(await reader.call({ operation: 'nextData', node, offset }));
    if (data.length === 0) break;
    // What the reader calls a hole must be one.
    if (whole?.subarray(offset, data.offset).some((byte) => byte !== 0)) return 'data in a hole';
    offset = data.offset;
    const length = Math.min(data.length, 2 ** 20);
    const bytes =
      whole?.subarray(offset, offset + length) ??
      Buffer.from(
        run(
          'sh',
          '-c',
          'tail -c +"$2" "$1" | head -c "$3" | base64 -w0',
          'sh',
          path.toString(),
          String(offset + 1),
          String(length),
        ),
        'base64',
      );
    if (bytes.some((byte) => byte !== 0)) hash.update(`${offset}:`).update(bytes);
    offset += bytes.length;
  }
  if (whole?.subarray(0).length !== undefined && whole.length !== sizeBytes) return 'another size';
  return hash.digest('hex');
}

const attributesOfKernel = (path: Buffer): Record<string, string> => {
  const text = run('getfattr', '-h', '-d', '-m', '-', '-e', 'base64', '--absolute-names', path.toString());
  const lines = text.split('\n').filter((line) => line.includes('=') && !line.startsWith('#'));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 3)]),
  );
};

async function attributesOf(reader: Reader, node: number): Promise<Record<string, string>> {
  const names = (await reader.call({ operation: 'attributeNames', node }))
    .toString()
    .split('\0')
    .filter((name) => name !== '');
  const values: Record<string, string> = {};
  for (const name of names)
    values[name] = (await reader.call({ operation: 'attribute', node, name: Buffer.from(name) })).toString(
      'base64',
    );
  return values;
}

/** What differs between a folder whose files come with all there is to know of them, and its files asked one by one. */
async function differencesOfGathering(
  reader: Reader,
  node: number,
  files: readonly ListedFile[],
): Promise<string[]> {
  const all: GatheredFile[] = [];
  for (let position = 0, ended = false; !ended; position = all.at(-1)?.position ?? 0) {
    const body = await reader.call({ operation: 'gather', node, offset: position, length: 150_000 });
    const page = decodeGather(body);
    all.push(...page.files);
    ended = page.ended;
  }
  const wrong: string[] = [];
  const listed = ({ name, attributes, position }: ListedFile) =>
    JSON.stringify({ name, attributes, position });
  if (all.map(listed).join() !== files.map(listed).join()) wrong.push('what is gathered');
  for (const { name, attributes, details, content } of all) {
    const isFile = (attributes.mode & 0o170000) === 0o100000;
    const isLink = (attributes.mode & 0o170000) === 0o120000;
    if (details === null || (content !== null) !== (isFile && attributes.sizeBytes <= 65_536)) {
      wrong.push(`what is gathered of ${name.toString()}`);
      continue;
    }
    const { node: file, sizeBytes: length } = attributes;
    const extended = Object.fromEntries(
      details.extended.map((one) => [one.name, one.value.toString('base64')]),
    );
    if (listOf(extended) !== listOf(await attributesOf(reader, file))) wrong.push('gathered attributes');
    const target = isLink ? await reader.call({ operation: 'readLink', node: file }) : null;
    if (target?.toString('hex') !== details.target?.toString('hex')) wrong.push('a gathered target');
    if (content?.equals(await reader.call({ operation: 'read', node: file, offset: 0, length })) === false)
      wrong.push('gathered content');
  }
  return wrong;
}

/** What differs between what the reader and what the kernel shows below a folder, as sentences. */
export async function differencesFromKernel(reader: Reader, folder: string): Promise<string[]> {
  const wrong: string[] = [];
  const walk = async (node: number, path: Buffer): Promise<void> => {
    const files = await filesIn(reader, node);
    for (const text of await differencesOfGathering(reader, node, files))
      wrong.push(`${text} in ${path.toString()}`);
    const names = readdirSync(path, { encoding: 'buffer' });
    const shown = files.map(({ name }) => name.toString('hex')).sort();
    if (
      shown.join() !==
      names
        .map((name) => name.toString('hex'))
        .sort()
        .join()
    )
      wrong.push(`names in ${path.toString()}`);
    for (const { name, attributes } of files) {
      const whole = Buffer.concat([path, Buffer.from('/'), name]);
      for (const text of await compareOne(reader, node, name, attributes, whole))
        wrong.push(`${text} of ${whole.toString()}`);
      if ((attributes.mode & 0o170000) === 0o040000) await walk(attributes.node, whole);
    }
  };
  await walk(reader.description.root, Buffer.from(folder));
  return wrong;
}

const listOf = (values: Record<string, string>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join();

async function compareOne(
  reader: Reader,
  folder: number,
  name: Buffer,
  listed: FileAttributes,
  path: Buffer,
): Promise<string[]> {
  const wrong: string[] = [];
  const there = lstatSync(path, { bigint: true });
  const found = await findIn(reader, folder, name);
  if (JSON.stringify(found) !== JSON.stringify(listed)) wrong.push('what is found');
  const pairs: readonly (readonly [string, number | bigint, bigint])[] = [
    ['mode', found.mode, there.mode],
    ['links', found.links, there.nlink],
    ['uid', found.uid, there.uid],
    ['gid', found.gid, there.gid],
    ['size', found.sizeBytes, there.size],
    ['space', found.usedBytes, there.blocks * 512n],
    [
      'time',
      BigInt(found.modified.seconds) * 1_000_000_000n + BigInt(found.modified.nanoseconds),
      there.mtimeNs,
    ],
    [
      'time of change',
      BigInt(found.changed.seconds) * 1_000_000_000n + BigInt(found.changed.nanoseconds),
      there.ctimeNs,
    ],
  ];
  for (const [what, shown, wanted] of pairs)
    if (BigInt(shown) !== wanted) wrong.push(`${what} (${shown}, not ${wanted})`);
  if (there.isSymbolicLink()) {
    const target = await reader.call({ operation: 'readLink', node: found.node });
    if (!target.equals(readlinkSync(path, { encoding: 'buffer' }))) wrong.push('target');
  }
  if (there.isFile() && (await digestOf(reader, found)) !== (await digestAsKernel(reader, found, path)))
    wrong.push('content');
  // Programs can't be handed a name that is no text.
  const isText = Buffer.from(path.toString()).equals(path);
  if (isText && !/\/many\//.test(path.toString())) {
    const shown = await attributesOf(reader, found.node);
    if (listOf(shown) !== listOf(attributesOfKernel(path))) wrong.push('extended attributes');
  }
  return wrong;
}
