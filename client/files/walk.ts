/** Files inside a backup, as the daemon tells of them: folders page by page, trees in order, content in pieces.
 *  Promises: no more than one page and a few pieces of a file are held; a tree is walked without following links, so that it
 *  ends. Knows nothing of what is printed or written. */

import { Fault } from '../../daemon/protocol/faults.ts';
import { fileReadBytesMax } from '../../daemon/protocol/limits.ts';
import type { FileSystemValue, FileValue, GatheredFileValue } from '../../daemon/protocol/values.ts';
import { type Extent, mergeClosest } from '../extents.ts';
import type { Session } from '../session.ts';

/** Pieces of a file that are asked for ahead. */
const piecesAhead = 3;
/** A tree that is deeper than any file system makes one. */
const depthMax = 4096;

/** Where to look: a backup, and one of its partitions or logical volumes if it has several. */
export interface Place {
  readonly session: Session;
  readonly backup: string;
  readonly partition: number | undefined;
  readonly logicalVolume: string | undefined;
}

const inPlace = ({ backup, partition, logicalVolume, session }: Place) => ({
  backup,
  ...(partition === undefined ? {} : { partition }),
  ...(logicalVolume === undefined ? {} : { logical_volume: logicalVolume }),
  ...session.inProject,
});

/** What is known of a file, by its path or its number. */
export const showFile = (
  place: Place,
  file: { readonly path: string; readonly node?: number; readonly follow?: boolean },
) => place.session.call('file.show', { ...inPlace(place), ...file });

/** The files of a folder in the order of the folder, by its path or its number. */
export async function* listFolder(
  place: Place,
  folder: { readonly path: string; readonly node?: number },
  onFileSystem: (fileSystem: FileSystemValue) => void = () => undefined,
): AsyncGenerator<FileValue> {
  let position: number | null = 0;
  while (position !== null) {
    const page: Awaited<ReturnType<typeof place.session.call<'file.list'>>> = await place.session.call(
      'file.list',
      {
        ...inPlace(place),
        ...folder,
        position,
      },
    );
    if (position === 0) onFileSystem(page.file_system);
    yield* page.files;
    position = page.next_position;
  }
}

/** The same with what is in small files. The next page is asked for while one is used. */
export async function* gatherFolder(
  place: Place,
  folder: { readonly path: string; readonly node?: number },
): AsyncGenerator<GatheredFileValue> {
  const ask = (position: number) => {
    const asked = place.session.call('file.gather', { ...inPlace(place), ...folder, position });
    // Who stops before it comes does not want to know how it ended.
    asked.catch(() => undefined);
    return asked;
  };
  let asked: ReturnType<typeof ask> | null = ask(0);
  while (asked !== null) {
    const page: Awaited<ReturnType<typeof ask>> = await asked;
    asked = page.next_position === null ? null : ask(page.next_position);
    yield* page.files;
  }
}

export interface WalkedFile<T extends FileValue = FileValue> {
  readonly file: T;
  /** Path from where the walk began, as bytes: a name need not be UTF-8. */
  readonly path: Buffer;
}

export const nameBytes = ({ name, name_hex }: FileValue): Buffer =>
  name_hex === null ? Buffer.from(name) : Buffer.from(name_hex, 'hex');

type List<T extends FileValue> = (
  place: Place,
  folder: { readonly path: string; readonly node?: number },
) => AsyncGenerator<T>;

/** Everything below a folder as `list` gives it, each folder before what is in it. */
export async function* walkTree<T extends FileValue>(
  place: Place,
  folder: { readonly path: string; readonly node?: number },
  list: List<T>,
  below: Buffer = Buffer.alloc(0),
  depth = 0,
): AsyncGenerator<WalkedFile<T>> {
  if (depth > depthMax)
    throw new Fault('FILE_DAMAGED', `Cannot walk "${folder.path}": its folders have no end`);
  for await (const file of list(place, folder)) {
    const name = nameBytes(file);
    const path = below.length === 0 ? name : Buffer.concat([below, Buffer.from('/'), name]);
    yield { file, path };
    if (file.kind === 'folder')
      yield* walkTree(place, { path: `${folder.path}/${file.name}`, node: file.node }, list, path, depth + 1);
  }
}

/** Bytes of a file, or a run of zeros that need not be written. */
export type Piece = Uint8Array | { readonly holeBytes: number };

const zeros = Buffer.alloc(256 * 1024);

/** The same bytes, with zeros where there are holes. */
export async function* withZeros(pieces: AsyncIterable<Piece>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    if (piece instanceof Uint8Array) {
      yield piece;
      continue;
    }
    for (let left = piece.holeBytes; left > 0; left -= zeros.length)
      yield left >= zeros.length ? zeros : zeros.subarray(0, left);
  }
}

/** Where the data of a file is, in order; at most `most` extents, merged where they lie closest. */
export async function dataExtents(
  place: Place,
  file: { readonly path: string; readonly node: number },
  most: number,
): Promise<Extent[]> {
  let extents: Extent[] = [];
  for (let offset: number | null = 0; offset !== null; ) {
    const page: Awaited<ReturnType<typeof place.session.call<'file.extents'>>> = await place.session.call(
      'file.extents',
      { ...inPlace(place), ...file, offset },
    );
    extents.push(...page.extents);
    if (extents.length > 2 * most) extents = mergeClosest(extents, most);
    offset = page.next_offset;
  }
  return mergeClosest(extents, most);
}

export interface Piecewise {
  readonly path: string;
  readonly node: number;
  /** Where it ends, if that is known; no more than that is asked for. */
  readonly sizeBytes?: number;
  readonly from?: number;
  /** Before its end. */
  readonly to?: number;
}

/** The content of a file in order, from its begin to its end, or a range of it. */
export async function* readPieces(
  place: Place,
  { path, node, sizeBytes, from = 0, to }: Piecewise,
): AsyncGenerator<Piece> {
  const ask = (offset: number) => {
    const length = Math.min(fileReadBytesMax, (to ?? Number.POSITIVE_INFINITY) - offset);
    return place.session.call('file.read', { ...inPlace(place), path, node, offset, length });
  };
  // Nothing is asked for behind the end, but for the first piece where the end is not known.
  let end = to ?? sizeBytes ?? fileReadBytesMax;
  let offset = from;
  let ahead: ReturnType<typeof ask>[] = [];
  for (;;) {
    while (ahead.length < piecesAhead && offset + ahead.length * fileReadBytesMax < end) {
      const asked = ask(offset + ahead.length * fileReadBytesMax);
      // One that is not wanted any more may fail unseen.
      asked.catch(() => undefined);
      ahead.push(asked);
    }
    const piece = await (ahead.shift() ?? ask(offset));
    end = Math.min(to ?? piece.size_bytes, piece.size_bytes);
    const taken = piece.bytes.length > 0 ? piece.bytes.length : Math.min(piece.hole_bytes, end - offset);
    if (taken <= 0) return;
    yield piece.bytes.length > 0 ? piece.bytes : { holeBytes: taken };
    offset += taken;
    // What was asked for ahead only fits where the piece was of full size.
    if (taken !== fileReadBytesMax) ahead = [];
    if (offset >= end) return;
  }
}
