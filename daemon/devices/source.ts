/** Opens what a backup reads.
 *  Promises: read-only, and the very thing the URL led to when it was opened; refused while something uses it, unless forced, and
 *  then `usedBy` says what; a device that nobody uses is held exclusively, so that nobody can begin to while it is read. */

import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { errnoOf, Fault } from '../base/faults.ts';
import { volumeBytesMax } from '../base/limits.ts';
import { claim, isRead, type Release } from './claims.ts';
import { locateSource } from './describe.ts';
import type { OpenSourceOptions, Source } from './device.ts';
import { evidenceOf } from './evidence.ts';
import { walkExtents } from './extents.ts';
import { sourceOpenFault, sourceReadFault } from './faults.ts';
import { findUses } from './in-use.ts';
import { identityKey, type Place } from './locate.ts';
import { type DeviceParts, openPlace, ReplacedMeanwhile, sizeOf } from './open-checked.ts';

interface Opened {
  readonly handle: FileHandle;
  /** True where an exclusive open was refused. */
  readonly claimed: boolean;
}

async function openExclusively(place: Place, alone: boolean): Promise<Opened> {
  // A second reader of ours can't be exclusive beside the first, and need not be.
  if (place.identity.kind === 'file' || !alone) {
    return { handle: await openPlace(place, constants.O_RDONLY), claimed: false };
  }
  try {
    return { handle: await openPlace(place, constants.O_RDONLY | constants.O_EXCL), claimed: false };
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EBUSY') throw thrown;
  }
  return { handle: await openPlace(place, constants.O_RDONLY), claimed: true };
}

async function openFor(place: Place, alone: boolean): Promise<Opened> {
  try {
    return await openExclusively(place, alone);
  } catch (thrown) {
    if (!(thrown instanceof ReplacedMeanwhile)) throw sourceOpenFault(place.url, thrown);
    throw new Fault('SOURCE_CHANGED', `Cannot open "${place.url}": it was replaced at this moment`);
  }
}

async function checkedSize(parts: DeviceParts, place: Place, handle: FileHandle): Promise<number> {
  const sizeBytes = await sizeOf(parts, place, handle);
  if (place.identity.kind === 'block' && sizeBytes === 0) {
    throw new Fault('SOURCE_UNUSABLE', `Cannot open "${place.url}": there is no device behind it`);
  }
  if (sizeBytes > volumeBytesMax) {
    throw new Fault(
      'SOURCE_UNUSABLE',
      `Cannot open "${place.url}": it is larger than ${volumeBytesMax} bytes`,
    );
  }
  return sizeBytes;
}

async function checkedUses(
  parts: DeviceParts,
  place: Place,
  opened: Opened,
  force: boolean,
): Promise<string[]> {
  const { identity } = place;
  const uses = await findUses(parts, {
    fd: opened.handle.fd,
    identity,
    claimed: opened.claimed,
    purpose: 'read',
  });
  if (uses.length > 0 && !force) {
    throw new Fault('SOURCE_BUSY', `Cannot read "${place.url}": it is in use: ${uses.join(', ')}`, {
      details: { used_by: uses },
    });
  }
  return uses;
}

interface SourceFacts {
  readonly place: Place;
  readonly handle: FileHandle;
  readonly sizeBytes: number;
  readonly usedBy: readonly string[];
  readonly release: Release;
}

function makeSource(parts: DeviceParts, facts: SourceFacts): Source {
  const { place, handle, sizeBytes } = facts;
  const { url } = place;
  let open = true;
  async function* extents(from = 0, to = sizeBytes) {
    try {
      yield* walkExtents(parts.native, handle.fd, from, to);
    } catch (thrown) {
      throw sourceReadFault(url, thrown);
    }
  }
  async function checkUnchanged(): Promise<void> {
    const now = await sizeOf(parts, place, handle).catch((thrown: unknown) => {
      throw sourceReadFault(url, thrown);
    });
    if (now === sizeBytes) return;
    throw new Fault(
      'SOURCE_CHANGED',
      `Cannot trust what was read of "${url}": it had ${sizeBytes} bytes and has ${now} now`,
    );
  }
  const evidence = () => evidenceOf(parts, place, handle);
  async function close(): Promise<void> {
    if (!open) return;
    open = false;
    try {
      await handle.close();
    } finally {
      facts.release();
    }
  }
  return { url, fd: handle.fd, sizeBytes, usedBy: facts.usedBy, extents, evidence, checkUnchanged, close };
}

export async function openSource(
  parts: DeviceParts,
  text: string,
  options: OpenSourceOptions,
): Promise<Source> {
  const located = await locateSource(text);
  const place = { ...located, url: options.calledBy ?? located.url };
  const key = identityKey(place.identity);
  const alone = !isRead(key);
  const release = claim(key, 'read');
  if (release === undefined) {
    throw new Fault('SOURCE_BUSY', `Cannot read "${place.url}": a restore is writing to it`, {
      hint: 'Wait for the restore to end: basaltctl job list',
    });
  }
  let opened: Opened | undefined;
  try {
    opened = await openFor(place, alone);
    const sizeBytes = await checkedSize(parts, place, opened.handle);
    const usedBy = await checkedUses(parts, place, opened, options.force);
    return makeSource(parts, { place, handle: opened.handle, sizeBytes, usedBy, release });
  } catch (thrown) {
    await opened?.handle.close();
    release();
    throw sourceOpenFault(place.url, thrown);
  }
}
