/** Files of a backup by their paths: looked up, listed and read, without any mount.
 *  Promises: a path never leads out of the file system, whatever links it goes over; each answer is of bounded size; every byte
 *  was verified on its way. What it does not know: who may see the backup. */

import { constants } from 'node:os';
import { Fault } from '../../base/faults.ts';
import { fileReadBytesMax, linksFollowedMax } from '../../base/limits.ts';
import { type Reader, ReaderRefusal } from './reader.ts';
import type { Readers } from './readers.ts';
import {
  decodeAttributes,
  decodeGather,
  decodeList,
  decodeRange,
  type ExtendedAttribute,
  type FileAttributes,
  type FileSystemDescription,
  type GatheredFile,
  hasUsableName,
  type ListedFile,
  nonsense,
} from './wire.ts';

const { ENOENT, ENOTDIR, ENOTSUP, EACCES, EINVAL } = constants.errno;
const kindMask = 0o170000;
const folderKind = 0o040000;
const linkKind = 0o120000;

export const isFolder = ({ mode }: FileAttributes): boolean => (mode & kindMask) === folderKind;
export const isLink = ({ mode }: FileAttributes): boolean => (mode & kindMask) === linkKind;

/** A file of a backup: by its path, or by the number that an earlier answer gave it. */
export interface FileReference {
  readonly backupId: string;
  /** The volume inside the image, for example "2" or "lvm/group/volume"; null: the one with a file system. */
  readonly volume: string | null;
  readonly path: string;
  readonly node?: number | undefined;
}

export interface FileList {
  readonly fileSystem: FileSystemDescription;
  readonly files: readonly ListedFile[];
  /** From where to go on; null: that was all. */
  readonly next: number | null;
}

export interface FileGathering {
  readonly files: readonly GatheredFile[];
  readonly next: number | null;
}

export interface FileDetails {
  readonly fileSystem: FileSystemDescription;
  readonly attributes: FileAttributes;
  readonly target: Buffer | null;
  readonly extended: readonly ExtendedAttribute[];
}

export interface FilePiece {
  /** Bytes from the offset on; empty at the end of the file and where there is a hole. */
  readonly bytes: Buffer;
  /** So many bytes at the offset are zeros that need not be read. */
  readonly holeBytes: number;
  readonly sizeBytes: number;
}

export interface FileExtents {
  readonly extents: readonly (readonly [offset: number, length: number])[];
  /** From where to go on; null: that was all. */
  readonly next: number | null;
  readonly sizeBytes: number;
}

/** Extents that the reader is asked for at a time, one by one. */
const extentsAtOnce = 512;

/** Bytes of one answer of the reader to a list: some hundred entries. */
const listBytes = 128 * 1024;

/** The same of a list with what is in its files: as much as one answer to a client holds, in the form that clients get it. */
const gatherBytes = 192 * 1024;

export class Browse {
  readonly #readers: Readers;

  constructor(readers: Readers) {
    this.#readers = readers;
  }

  /** What is in a folder, from `position` on; a file is a list of itself. FILE_UNKNOWN, FILE_DAMAGED, FILESYSTEM_UNKNOWN. */
  list(reference: FileReference, position: number): Promise<FileList> {
    return this.#use(reference, async (reader) => {
      const fileSystem = reader.description;
      const attributes = await find(reader, reference, true);
      const { node } = attributes;
      if (!isFolder(attributes)) {
        const name = Buffer.from(reference.path.split('/').findLast((part) => part !== '') ?? '/');
        return { fileSystem, files: [{ name, attributes, position: 1 }], next: null };
      }
      const body = await reader.call({ operation: 'list', node, offset: position, length: listBytes });
      const { files, ended } = decodeList(body);
      const next = ended ? null : nextOf(files, position, reference.path);
      return { fileSystem, files: files.filter(hasUsableName), next };
    });
  }

  /** What is in a folder, with all that there is to know of each file and the content of small ones. */
  gather(reference: FileReference, position: number): Promise<FileGathering> {
    return this.#use(reference, async (reader) => {
      const { node } = await find(reader, reference, true);
      const body = await reader.call({ operation: 'gather', node, offset: position, length: gatherBytes });
      const { files, ended } = decodeGather(body);
      const next = ended ? null : nextOf(files, position, reference.path);
      return { files: files.filter(hasUsableName), next };
    });
  }

  /** `follow`: of what a link at the end of the path leads to. */
  details(reference: FileReference, follow: boolean): Promise<FileDetails> {
    return this.#use(reference, async (reader) => {
      const attributes = await find(reader, reference, follow);
      const { node } = attributes;
      const target = isLink(attributes) ? await reader.call({ operation: 'readLink', node }) : null;
      const names = (await reader.call({ operation: 'attributeNames', node })).toString('latin1');
      const extended: ExtendedAttribute[] = [];
      for (const name of names.split('\0').filter((text) => text !== '')) {
        const value = await reader.call({ operation: 'attribute', node, name: Buffer.from(name, 'latin1') });
        extended.push({ name, value });
      }
      return { fileSystem: reader.description, attributes, target, extended };
    });
  }

  /** At most `length` bytes of a file. */
  read(reference: FileReference, offset: number, length: number): Promise<FilePiece> {
    return this.#use(reference, async (reader) => {
      const { node, sizeBytes } = await find(reader, reference, true);
      if (offset >= sizeBytes) return { bytes: Buffer.alloc(0), holeBytes: 0, sizeBytes };
      const data = decodeRange(await reader.call({ operation: 'nextData', node, offset }));
      const holeBytes = (data.length === 0 ? sizeBytes : data.offset) - offset;
      if (holeBytes > 0) return { bytes: Buffer.alloc(0), holeBytes, sizeBytes };
      const wanted = Math.min(length, fileReadBytesMax, Math.max(1, data.length));
      const bytes = await reader.call({ operation: 'read', node, offset, length: wanted });
      return { bytes, holeBytes: 0, sizeBytes };
    });
  }

  /** Where data is, from `offset` on; neighbours are one. */
  extents(reference: FileReference, offset: number): Promise<FileExtents> {
    return this.#use(reference, async (reader) => {
      const { node, sizeBytes } = await find(reader, reference, true);
      const extents: [offset: number, length: number][] = [];
      let at = offset;
      for (let count = 0; count < extentsAtOnce && at < sizeBytes; count += 1) {
        const data = decodeRange(await reader.call({ operation: 'nextData', node, offset: at }));
        const last = extents.at(-1);
        if (data.length === 0) at = sizeBytes;
        else if (data.offset < at) throw nonsense('data that lies before what was asked for');
        else {
          if (last !== undefined && last[0] + last[1] === data.offset) last[1] += data.length;
          else extents.push([data.offset, data.length]);
          at = data.offset + data.length;
        }
      }
      return { extents, next: at < sizeBytes ? at : null, sizeBytes };
    });
  }

  async #use<T>(reference: FileReference, use: (reader: Reader) => Promise<T>): Promise<T> {
    try {
      return await this.#readers.with(reference.backupId, reference.volume, use);
    } catch (thrown) {
      throw thrown instanceof ReaderRefusal ? faultOf(thrown, reference) : thrown;
    }
  }
}

function nextOf(files: readonly ListedFile[], position: number, path: string): number {
  const last = files.at(-1);
  if (last === undefined || last.position <= position)
    throw new Fault('FILE_DAMAGED', `Cannot list "${path}": the folder has no end`);
  return last.position;
}

/** The file that is meant. */
async function find(reader: Reader, { path, node }: FileReference, follow: boolean): Promise<FileAttributes> {
  if (node !== undefined) return decodeAttributes(await reader.call({ operation: 'stat', node }));
  const root = decodeAttributes(await reader.call({ operation: 'stat', node: reader.description.root }));
  const parts = partsOf(Buffer.from(path));
  const folders: FileAttributes[] = [root];
  let links = 0;
  for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
    const folder = folders.at(-1) ?? root;
    const name = part.toString('latin1');
    if (name === '.') continue;
    // Above the root there is the root.
    if (name === '..') {
      if (folders.length > 1) folders.pop();
      continue;
    }
    const found = decodeAttributes(await reader.call({ operation: 'lookup', node: folder.node, name: part }));
    if (!isLink(found) || (parts.length === 0 && !follow)) {
      folders.push(found);
      continue;
    }
    links += 1;
    if (links > linksFollowedMax)
      throw new ReaderRefusal(constants.errno.ELOOP, 'its links lead in a circle');
    const target = await reader.call({ operation: 'readLink', node: found.node });
    if (target[0] === slash) folders.splice(1);
    parts.unshift(...partsOf(target));
  }
  return folders.at(-1) ?? root;
}

const slash = 0x2f;

function partsOf(path: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let from = 0;
  for (let at = 0; at <= path.length; at += 1) {
    if (at < path.length && path[at] !== slash) continue;
    if (at > from) parts.push(path.subarray(from, at));
    from = at + 1;
  }
  return parts;
}

function faultOf({ errno, message }: ReaderRefusal, { path, backupId }: FileReference): Fault {
  if (errno === ENOENT || errno === ENOTDIR)
    return new Fault('FILE_UNKNOWN', `Cannot find "${path}" in backup "${backupId}": ${message}`);
  if (errno === ENOTSUP)
    return new Fault('FILESYSTEM_UNKNOWN', `Cannot read files of backup "${backupId}": ${message}`);
  if (errno === EINVAL)
    return new Fault('INVALID_ARGUMENT', `Cannot read "${path}" in backup "${backupId}": ${message}`);
  const code = errno === EACCES ? 'FILE_UNREADABLE' : 'FILE_DAMAGED';
  return new Fault(code, `Cannot read "${path}" in backup "${backupId}": ${message}`);
}
