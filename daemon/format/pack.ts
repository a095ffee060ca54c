/** Bytes of a pack's header, directory and trailer. Source: FORMAT.md, "Packs". Pure.
 *  Promises: what `parseTrailer` and `checkDirectory` let through lies within the pack and is what its name says. */

import {
  blockBytesMax,
  packBlocksMax,
  packPayloadBytes,
  segmentBlocksMax,
  segmentBytes,
} from '../base/limits.ts';
import { encodingRaw, encodingZstd, entryBytes, rawLength } from './block-layouts.ts';

export const packHeaderBytes = 16;
export const packTrailerBytes = 64;
/** No pack of ours is larger. */
export const packBytesMax =
  packHeaderBytes +
  packPayloadBytes +
  segmentBytes +
  (packBlocksMax + segmentBlocksMax) * entryBytes +
  packTrailerBytes;

const headerMagic = Buffer.from('BASALTPK', 'latin1');
const trailerMagic = Buffer.from('BASALTDR', 'latin1');
const version = 1;

export type HashFunction = (bytes: Uint8Array) => Buffer;

export function packHeader(): Buffer {
  const header = Buffer.alloc(packHeaderBytes);
  headerMagic.copy(header, 0);
  header.writeUInt32LE(version, 8);
  return header;
}

/** `digest`: of the directory, which lies at `directoryOffset`. */
export function packTrailer(digest: Uint8Array, count: number, directoryOffset: number): Buffer {
  const trailer = Buffer.alloc(packTrailerBytes);
  trailer.set(digest, 0);
  trailer.writeUInt32LE(count, 32);
  trailer.writeUInt32LE(version, 36);
  trailer.writeBigUInt64LE(BigInt(directoryOffset), 40);
  trailerMagic.copy(trailer, 56);
  return trailer;
}

/** True where `header` begins a pack of this version. */
export const isPackHeader = (header: Buffer): boolean => header.equals(packHeader());

/** Where the directory is, or the clause that is broken as text. */
export function parseTrailer(
  trailer: Buffer,
  packBytes: number,
  name: string,
): { directoryOffset: number; directoryBytes: number } | string {
  if (!trailer.subarray(56).equals(trailerMagic)) return 'its end is not the end of a pack';
  if (trailer.readUInt32LE(36) !== version)
    return `its version is ${trailer.readUInt32LE(36)}, not ${version}`;
  if (trailer.subarray(0, 32).toString('hex') !== name) return 'its name is not the digest of its directory';
  const directoryBytes = trailer.readUInt32LE(32) * entryBytes;
  const directoryOffset = Number(trailer.readBigUInt64LE(40));
  if (directoryOffset + directoryBytes + packTrailerBytes !== packBytes)
    return 'its length is not what its end says';
  return { directoryOffset, directoryBytes };
}

/** The clause of the format that a directory breaks, or undefined where it is right. */
export function directoryFault(
  directory: Buffer,
  directoryOffset: number,
  name: string,
  hash: HashFunction,
): string | undefined {
  if (directory.length === 0) return 'it holds no block';
  if (hash(directory).toString('hex') !== name) return 'its directory is corrupt';
  for (let at = 0; at < directory.length; at += entryBytes) {
    const offset = directory.readUInt32LE(at + 32);
    const stored = directory.readUInt32LE(at + 36);
    const raw = rawLength(directory.readUInt32LE(at + 40));
    if (offset < packHeaderBytes || offset + stored > directoryOffset)
      return 'its directory points outside of it';
    const encoding = directory.readUInt8(at + 43);
    if (raw === 0 || raw > blockBytesMax || stored === 0 || stored > raw) {
      return 'its directory has an impossible length';
    }
    if (encoding !== encodingRaw && encoding !== encodingZstd) return 'its directory has an unknown encoding';
  }
  return undefined;
}
