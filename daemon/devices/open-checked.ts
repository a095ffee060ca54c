/** Opens what was located before, and nothing else.
 *  Promises: the descriptor is of the very file or device that was looked at, or the open fails; the size is the one that the
 *  descriptor has now. */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Native } from '../../native/native.ts';
import { identityOf, type Place, sameIdentity } from './locate.ts';

export interface DeviceParts {
  readonly native: Pick<
    Native,
    'nextExtent' | 'blockDevice' | 'loopBacking' | 'sync' | 'tryLock' | 'writableDescriptors'
  >;
}

/** The place leads to something else by now. */
export class ReplacedMeanwhile extends Error {
  override readonly name = 'ReplacedMeanwhile';
}

export async function openPlace(place: Place, flags: number): Promise<FileHandle> {
  const handle = await open(place.path, flags | constants.O_NOFOLLOW);
  try {
    const stats = await handle.stat({ bigint: true });
    if (!sameIdentity(identityOf(stats), place.identity)) throw new ReplacedMeanwhile();
    return handle;
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

export async function sizeOf(parts: DeviceParts, place: Place, handle: FileHandle): Promise<number> {
  if (place.identity.kind === 'block') return (await parts.native.blockDevice(handle.fd)).sizeBytes;
  return (await handle.stat()).size;
}
