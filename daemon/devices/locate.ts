/** Finds out what is at a path: a regular file, a block device, nothing, or something that is neither.
 *  Promises: symbolic links are followed once, here, and what comes out is the real path with its identity; nothing is opened,
 *  because opening a device can have effects. System errors other than "nothing there" are thrown as they are. */

import type { BigIntStats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { errnoOf } from '../base/faults.ts';
import { type DeviceKind, type DeviceUrl, formatDeviceUrl } from './device-url.ts';

/** What a device is, whatever it is called: a file by its inode, a device by its number ("8:1"). */
export type Identity =
  | { readonly kind: 'file'; readonly device: bigint; readonly inode: bigint }
  | { readonly kind: 'block'; readonly number: string };

export interface Place {
  readonly kind: DeviceKind;
  readonly url: string;
  /** Without symbolic links. */
  readonly path: string;
  readonly identity: Identity;
  readonly mode: number;
  /** Of a file; zero for devices. */
  readonly sizeBytes: number;
}

export type Located =
  | { readonly found: 'place'; readonly place: Place }
  | { readonly found: 'nothing' }
  | { readonly found: 'unusable'; readonly why: string };

const loopMajor = 7;

/** A device number as the kernel prints it, from st_rdev or st_dev (see makedev in sys/sysmacros.h). */
export function deviceNumber(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

export function identityOf(stats: BigIntStats): Identity {
  if (stats.isBlockDevice()) return { kind: 'block', number: deviceNumber(stats.rdev) };
  return { kind: 'file', device: stats.dev, inode: stats.ino };
}

export const identityKey = (identity: Identity): string =>
  identity.kind === 'block' ? `block ${identity.number}` : `file ${identity.device} ${identity.inode}`;

export const sameIdentity = (one: Identity, other: Identity): boolean =>
  identityKey(one) === identityKey(other);

function kindOfStats(stats: BigIntStats): DeviceKind | undefined {
  if (stats.isFile()) return 'file';
  if (!stats.isBlockDevice()) return undefined;
  return deviceNumber(stats.rdev).startsWith(`${loopMajor}:`) ? 'loop' : 'block';
}

function nameOfType(stats: BigIntStats): string {
  if (stats.isDirectory()) return 'a folder';
  if (stats.isCharacterDevice()) return 'a character device';
  if (stats.isSocket()) return 'a socket';
  if (stats.isFIFO()) return 'a pipe';
  return 'neither a file nor a block device';
}

/** Why something of kind `actual` is not what a URL of kind `wanted` asks for; a loop device is a block device too. */
function mismatch(wanted: DeviceKind | undefined, actual: DeviceKind): string | undefined {
  if (wanted === undefined || wanted === actual || (wanted === 'block' && actual === 'loop'))
    return undefined;
  const names = { file: 'a regular file', block: 'a block device', loop: 'a loop device' };
  return `it is ${names[actual]}, not ${names[wanted]}`;
}

export async function locate(url: DeviceUrl): Promise<Located> {
  let path: string;
  let stats: BigIntStats;
  try {
    path = await realpath(url.path);
    stats = await stat(path, { bigint: true });
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return { found: 'nothing' };
    if (errno === 'ELOOP') return { found: 'unusable', why: 'its symbolic links lead in a circle' };
    if (errno === 'ENAMETOOLONG') return { found: 'unusable', why: 'its name is too long' };
    throw thrown;
  }
  const kind = kindOfStats(stats);
  if (kind === undefined) return { found: 'unusable', why: `it is ${nameOfType(stats)}` };
  const why = mismatch(url.kind, kind);
  if (why !== undefined) return { found: 'unusable', why };
  const full = formatDeviceUrl(url.kind ?? kind, url.path);
  const sizeBytes = kind === 'file' ? Number(stats.size) : 0;
  return {
    found: 'place',
    place: { kind, url: full, path, identity: identityOf(stats), mode: Number(stats.mode), sizeBytes },
  };
}
