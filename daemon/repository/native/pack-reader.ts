/** Reads what packs say of themselves. Promises: a directory it gives was checked against the pack's name.
 *  Knows nothing of the index. */

import { errnoOf, Fault } from '../../base/faults.ts';
import { packKey, packNameOf, packPrefix } from '../../format/layout.ts';
import {
  directoryFault,
  packBytesMax,
  packHeaderBytes,
  packTrailerBytes,
  parseTrailer,
} from '../../format/pack.ts';
import type { NativeParts } from './parts.ts';

export interface PackListing {
  readonly key: string;
  readonly name: string;
  readonly sizeBytes: number;
}

/** Names of the packs that the storage has; `shard`: only those whose name begins with these two digits. */
export async function* packNames(parts: Pick<NativeParts, 'storage'>, shard?: string): AsyncIterable<string> {
  for await (const key of parts.storage.list(shard === undefined ? packPrefix : `${packPrefix}${shard}/`)) {
    const name = packNameOf(key);
    if (name !== undefined) yield name;
  }
}

/** All packs that the storage has, with their sizes. */
export async function* listPacks(parts: Pick<NativeParts, 'storage'>): AsyncIterable<PackListing> {
  for await (const name of packNames(parts)) {
    const key = packKey(name);
    const sizeBytes = await parts.storage.size(key);
    if (sizeBytes !== undefined) yield { key, name, sizeBytes };
  }
}

/** The directory of a pack (an entry a block), or why it can't be used. A storage that fails is thrown. */
export async function readDirectory(
  parts: Pick<NativeParts, 'storage' | 'hash'>,
  name: string,
  sizeBytes: number,
): Promise<Buffer | string> {
  const key = packKey(name);
  if (sizeBytes < packHeaderBytes + packTrailerBytes) return 'it is cut off';
  if (sizeBytes > packBytesMax) return 'it is larger than any pack';
  try {
    const trailer = Buffer.alloc(packTrailerBytes);
    await parts.storage.read(key, sizeBytes - packTrailerBytes, trailer);
    const place = parseTrailer(trailer, sizeBytes, name);
    if (typeof place === 'string') return place;
    const directory = Buffer.alloc(place.directoryBytes);
    await parts.storage.read(key, place.directoryOffset, directory);
    return directoryFault(directory, place.directoryOffset, name, parts.hash) ?? directory;
  } catch (thrown) {
    if (thrown instanceof Fault && (thrown.code === 'OBJECT_MISSING' || errnoOf(thrown.cause) === 'EIO')) {
      return thrown.message;
    }
    throw thrown;
  }
}
