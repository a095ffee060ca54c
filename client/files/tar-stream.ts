/** A folder of a backup as a tar archive, written piece by piece. Promises: memory is bounded but for the names of files that have
 *  several; a file that can't be read ends the archive with its fault, never with other bytes in its place. */

import { Fault } from '../../daemon/protocol/faults.ts';
import type { FileDetailsValue, FileValue } from '../../daemon/protocol/values.ts';
import { workAhead } from './ahead.ts';
import { canBeInTar, contentBytes, type TarEntry, tarEnd, tarHead, tarPadding } from './tar.ts';
import { type Place, readPieces, showFile, type WalkedFile, walkTree, withZeros } from './walk.ts';

/** Files that are asked for before their turn; those that are small come whole. */
const filesAhead = 12;
const wholeBytesMax = 64 * 1024;

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
  const begin = async ({ file, path }: WalkedFile): Promise<Begun | undefined> => {
    if (!canBeInTar(file)) return undefined;
    const sameAs = file.kind === 'folder' ? undefined : seen.get(file.node);
    if (file.links > 1 && file.kind !== 'folder' && sameAs === undefined) seen.set(file.node, path);
    const [entry, whole] = await Promise.all([
      entryOf(place, file, path, sameAs),
      sameAs === undefined && file.kind === 'file' && file.size_bytes <= wholeBytesMax
        ? wholeFile(place, file, path)
        : undefined,
    ]);
    return { entry, whole };
  };
  for await (const [, begun] of workAhead(walkTree(place, folder, Buffer.from(base)), filesAhead, begin)) {
    if (begun === undefined) continue;
    await write(tarHead(begun.entry));
    written += await writeContent(place, begun, write);
  }
  await write(tarEnd());
  return written;
}

async function entryOf(
  place: Place,
  file: FileValue,
  path: Buffer,
  sameAs: Buffer | undefined,
): Promise<TarEntry> {
  if (sameAs !== undefined) return { path, file, sameAs };
  const found = await showFile(place, { path: `/${path.toString('utf8')}`, node: file.node });
  const target = found.target === null ? {} : { target: Buffer.from(found.target) };
  return { path, file: { ...file, ...pick(found) }, ...target, attributes: attributesOf(found) };
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

const attributesOf = ({ attributes }: FileDetailsValue) =>
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
  let done = 0;
  const path = `/${entry.path.toString('utf8')}`;
  const wanted = { path, node: entry.file.node, sizeBytes: bytes };
  for await (const piece of withZeros(readPieces(place, wanted))) {
    await write(piece);
    done += piece.length;
  }
  if (done !== bytes)
    throw new Fault('FILE_DAMAGED', `Cannot read "${path}": it is shorter than its size says`);
  await write(tarPadding(bytes));
  return bytes;
}
