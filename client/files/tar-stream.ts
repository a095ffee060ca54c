/** A folder of a backup as a tar archive, written piece by piece. Promises: memory is bounded but for the names of files that have
 *  several; a file that can't be read ends the archive with its fault, never with other bytes in its place. */

import { Fault } from '../../daemon/protocol/faults.ts';
import type { FileMoreValue, FileValue, GatheredFileValue } from '../../daemon/protocol/values.ts';
import { workAhead } from './ahead.ts';
import {
  canBeInTar,
  contentBytes,
  inWholeBlocks,
  type TarEntry,
  tarEnd,
  tarHead,
  tarMap,
  tarPadding,
} from './tar.ts';
import {
  dataExtents,
  gatherFolder,
  type Place,
  readPieces,
  showFile,
  type WalkedFile,
  walkTree,
  withZeros,
} from './walk.ts';

/** Files that are asked for before their turn; those that are small come whole. */
const filesAhead = 12;
const wholeBytesMax = 64 * 1024;
/** Holes that together are shorter are written as zeros: to ask where they are would take longer. */
const holeBytesMin = 64 * 1024;
/** Extents of a file with holes; of more than these, those that lie closest are one. */
const extentsMax = 64 * 1024;

interface Begun {
  readonly entry: TarEntry;
  /** The content of a small file. */
  readonly whole: Uint8Array | undefined;
}

type Write = (bytes: Uint8Array) => Promise<void>;

/** Gives how many bytes of files it has written. */
export async function writeTar(
  place: Place,
  folder: { readonly path: string; readonly node: number },
  base: string,
  write: Write,
): Promise<number> {
  let written = 0;
  const root = await showFile(place, folder);
  await write(tarHead({ path: Buffer.from(base), file: root, attributes: attributesOf(root) }));
  /** First names of files that have several, by their numbers. */
  const seen = new Map<number, Buffer>();
  const begin = async ({ file, path }: WalkedFile<GatheredFileValue>): Promise<Begun | undefined> => {
    if (!canBeInTar(file)) return undefined;
    const sameAs = file.kind === 'folder' ? undefined : seen.get(file.node);
    if (file.links > 1 && file.kind !== 'folder' && sameAs === undefined) seen.set(file.node, path);
    const [entry, whole] = await Promise.all([
      entryOf(place, file, path, sameAs),
      sameAs === undefined && file.kind === 'file' && file.size_bytes <= wholeBytesMax
        ? (file.content ?? wholeFile(place, file, path))
        : undefined,
    ]);
    return { entry, whole };
  };
  for await (const [, begun] of workAhead(
    walkTree(place, folder, gatherFolder, Buffer.from(base)),
    filesAhead,
    begin,
  )) {
    if (begun === undefined) continue;
    await write(tarHead(begun.entry));
    written += await writeContent(place, begun, write);
  }
  await write(tarEnd());
  return written;
}

async function entryOf(
  place: Place,
  file: GatheredFileValue,
  path: Buffer,
  sameAs: Buffer | undefined,
): Promise<TarEntry> {
  if (sameAs !== undefined) return { path, file, sameAs };
  let known: FileValue = file;
  let more: FileMoreValue | null = file.details;
  if (more === null) {
    const found = await showFile(place, { path: `/${path.toString('utf8')}`, node: file.node });
    known = { ...file, ...pick(found) };
    more = found;
  }
  const target = more.target === null ? {} : { target: targetBytes(more.target, more.target_hex) };
  const extents = await extentsOf(place, known, path);
  return { path, file: known, ...target, ...extents, attributes: attributesOf(more) };
}

const targetBytes = (text: string, hex: string | null): Buffer =>
  hex === null ? Buffer.from(text) : Buffer.from(hex, 'hex');

/** Where the data is, of a file that takes less room than it is long. */
async function extentsOf(place: Place, file: FileValue, path: Buffer): Promise<Pick<TarEntry, 'extents'>> {
  const { kind, size_bytes, used_bytes, node } = file;
  if (kind !== 'file' || size_bytes <= wholeBytesMax || size_bytes - used_bytes < holeBytesMin) return {};
  const found = await dataExtents(place, { path: `/${path.toString('utf8')}`, node }, extentsMax);
  const extents = inWholeBlocks(found, size_bytes);
  const dataBytes = extents.reduce((sum, [, length]) => sum + length, 0);
  return size_bytes - dataBytes < holeBytesMin ? {} : { extents };
}

/** What a list could not tell of an inode that it failed to read, the file itself tells or fails. */
const pick = ({ kind, mode, uid, gid, size_bytes, modified_at, device }: FileValue) => ({
  kind,
  mode,
  uid,
  gid,
  size_bytes,
  modified_at,
  device,
});

const attributesOf = ({ attributes }: FileMoreValue) =>
  attributes.map(({ name, value }) => ({ name, value: Buffer.from(value, 'base64') }));

async function wholeFile(place: Place, file: FileValue, path: Buffer): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const wanted = { path: `/${path.toString('utf8')}`, node: file.node, sizeBytes: file.size_bytes };
  for await (const bytes of withZeros(readPieces(place, wanted))) pieces.push(bytes);
  return Buffer.concat(pieces);
}

async function writeContent(place: Place, { entry, whole }: Begun, write: Write): Promise<number> {
  const bytes = contentBytes(entry);
  if (bytes === 0) return 0;
  if (whole?.length === bytes) {
    await write(whole);
    await write(tarPadding(bytes));
    return bytes;
  }
  const { file, extents } = entry;
  let done = 0;
  const writeOne = async (piece: Uint8Array) => {
    await write(piece);
    done += piece.length;
  };
  const wanted = { path: `/${entry.path.toString('utf8')}`, node: file.node, sizeBytes: file.size_bytes };
  if (extents !== undefined) await writeOne(tarMap(extents));
  for (const [offset, length] of extents ?? [[0, bytes]]) {
    if (length === 0) continue;
    const range = { ...wanted, from: offset, to: offset + length };
    for await (const piece of withZeros(readPieces(place, range))) await writeOne(piece);
  }
  if (done !== bytes)
    throw new Fault('FILE_DAMAGED', `Cannot read "${wanted.path}": it is shorter than its size says`);
  await write(tarPadding(bytes));
  return bytes;
}
