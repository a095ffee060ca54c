/** Reads what a qcow2 image says of itself, without opening anything that it names. Hostile bytes.
 *  Promises: bounded memory; an image that is not wholly understood is refused. Source: docs/interop/qcow2.txt of QEMU. */

import type { FileHandle } from 'node:fs/promises';
import { volumeBytesMax } from '../../../base/limits.ts';

export interface Qcow2Header {
  readonly sizeBytes: number;
  /** As it stands there: a name, a path, or what QEMU takes for more than that. */
  readonly backing: string | null;
  /** Only where the image says so; else QEMU would guess. */
  readonly backingFormat: string | null;
}

const magic = 0x51_46_49_fb;
const fixedBytes = 104;
const headerBytesMax = 64 * 1024;
const backingNameBytesMax = 1023;
/** Of `incompatible_features`: dirty, corrupt, external data, compression type, extended entries. */
const feature = { corrupt: 2n, externalData: 4n, known: 31n } as const;
const extension = { end: 0, backingFormat: 0xe2_79_2a_ca, externalData: 0x44_41_54_41 } as const;

/** The formats of version 3 count from here; version 2 has no more than this. */
const version2Bytes = 72;

/** The header, or the clause that says what is wrong with it. */
export async function readQcow2Header(file: Pick<FileHandle, 'read'>): Promise<Qcow2Header | string> {
  const bytes = Buffer.alloc(headerBytesMax);
  const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
  return parseQcow2Header(bytes.subarray(0, bytesRead));
}

export function parseQcow2Header(bytes: Buffer): Qcow2Header | string {
  if (bytes.length < version2Bytes || bytes.readUInt32BE(0) !== magic) return 'it is no qcow2 image';
  const version = bytes.readUInt32BE(4);
  if (version !== 2 && version !== 3) return `it is a qcow2 image of version ${version}`;
  if (version === 3 && bytes.length < fixedBytes) return 'its qcow2 header is cut off';
  const incompatible = version === 3 ? bytes.readBigUInt64BE(72) : 0n;
  if ((incompatible & ~feature.known) !== 0n)
    return 'it is a qcow2 image with features that are not known here';
  if ((incompatible & feature.externalData) !== 0n)
    return 'its data lie in another file, which it names itself';
  if ((incompatible & feature.corrupt) !== 0n) return 'it is marked as corrupt';
  if (bytes.readUInt32BE(32) !== 0) return 'it is encrypted';
  const size = bytes.readBigUInt64BE(24);
  if (size === 0n || size > BigInt(volumeBytesMax)) return `it claims to have ${size} bytes`;
  const extensions = readExtensions(bytes, version === 3 ? bytes.readUInt32BE(100) : version2Bytes);
  if (typeof extensions === 'string') return extensions;
  const backing = readBacking(bytes);
  if (typeof backing === 'string') return backing;
  return { sizeBytes: Number(size), backing: backing.name, backingFormat: extensions.backingFormat };
}

function readBacking(bytes: Buffer): { readonly name: string | null } | string {
  const at = bytes.readBigUInt64BE(8);
  const length = bytes.readUInt32BE(16);
  if (at === 0n) return { name: null };
  if (length === 0 || length > backingNameBytesMax || at + BigInt(length) > BigInt(bytes.length))
    return 'the name of its backing file lies where none may be';
  return { name: bytes.toString('utf8', Number(at), Number(at) + length) };
}

function readExtensions(bytes: Buffer, from: number): { readonly backingFormat: string | null } | string {
  let backingFormat: string | null = null;
  // They end where the name of the backing file begins, at the latest.
  for (let at = from; at + 8 <= bytes.length; ) {
    const [type, length] = [bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)];
    if (type === extension.end) return { backingFormat };
    if (type === extension.externalData) return 'its data lie in another file, which it names itself';
    const start = at + 8;
    if (start + length > bytes.length) break;
    if (type === extension.backingFormat) backingFormat = bytes.toString('latin1', start, start + length);
    at = start + Math.ceil(length / 8) * 8;
  }
  return 'its qcow2 header has no end';
}
