/** Opens what a restore writes to: a new file, an existing file, or a block device.
 *  Promises: before it resolves, nothing is written to anything that existed, and every reason not to write was looked for: kind,
 *  permission to overwrite, size, write protection, use. What is in use is never written to, forced or not; a device is held
 *  exclusively, and everything is locked against another restore. An existing file is never grown. */

import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { errnoOf, Fault } from '../base/faults.ts';
import { blockName, blockSizeBytes, readText } from './block-names.ts';
import { claim, type Release } from './claims.ts';
import type { OpenTargetOptions, Target } from './device.ts';
import { type DeviceUrl, parseDeviceUrl } from './device-url.ts';
import { targetOpenFault, targetWriteFault } from './faults.ts';
import { findUses } from './in-use.ts';
import { identityKey, type Located, locate, type Place } from './locate.ts';
import { openNewFile } from './new-file.ts';
import { type DeviceParts, openPlace, ReplacedMeanwhile, sizeOf } from './open-checked.ts';
import { targetIdentity } from './target-identity.ts';

const anyWriteBit = 0o222;

const busy = (place: Place, uses: readonly string[], hint?: string): Fault =>
  new Fault('TARGET_BUSY', `Cannot write to "${place.url}": it is in use: ${uses.join(', ')}`, {
    details: { used_by: uses },
    ...(hint === undefined ? {} : { hint }),
  });

const anotherRestore = (place: Place): Fault =>
  busy(place, ['read or written by another job'], 'Wait for the other job to end: basaltctl job list');

function checkSize(place: Place, sizeBytes: number, wantedBytes: number): void {
  if (sizeBytes >= wantedBytes) return;
  throw new Fault(
    'TARGET_TOO_SMALL',
    `Cannot write to "${place.url}": it has ${sizeBytes} bytes and the backup needs ${wantedBytes}`,
  );
}

/** Everything that can be known without opening it: opening a device for writing makes others look at it again. */
async function checkBeforeOpen(place: Place, options: OpenTargetOptions): Promise<void> {
  const { identity, url } = place;
  if (!options.force) {
    const what = identity.kind === 'file' ? 'there is a file already' : 'it is a device and may hold data';
    throw new Fault('TARGET_EXISTS', `Cannot write to "${url}" without being forced to: ${what}`);
  }
  const readOnly = (why: string) => new Fault('TARGET_READ_ONLY', `Cannot write to "${url}": ${why}`);
  if (identity.kind === 'file') {
    checkSize(place, place.sizeBytes, options.sizeBytes);
    // Nothing else stops root, and somebody took the right to write away on purpose.
    if ((place.mode & anyWriteBit) === 0) throw readOnly('nobody has the permission to write to it');
    return;
  }
  const sizeBytes = await blockSizeBytes(identity.number);
  if (sizeBytes === undefined || sizeBytes === 0) {
    throw new Fault('TARGET_UNUSABLE', `Cannot write to "${url}": there is no device behind it`);
  }
  checkSize(place, sizeBytes, options.sizeBytes);
  const folder = (await blockName(identity.number))?.folder;
  if (folder !== undefined && (await readText(`${folder}/ro`)) === '1')
    throw readOnly('the device is read-only');
}

async function openForWriting(parts: DeviceParts, place: Place): Promise<FileHandle> {
  const exclusive = place.identity.kind === 'block' ? constants.O_EXCL : 0;
  try {
    return await openPlace(place, constants.O_RDWR | exclusive);
  } catch (thrown) {
    if (thrown instanceof ReplacedMeanwhile) {
      throw new Fault('TARGET_UNUSABLE', `Cannot open "${place.url}": it was replaced at this moment`);
    }
    if (errnoOf(thrown) !== 'EBUSY') throw targetOpenFault(place.url, thrown);
  }
  const uses = await findUses(parts, { fd: -1, identity: place.identity, claimed: true, purpose: 'write' });
  throw busy(place, uses);
}

/** File systems may know no locks; then the claim within this process has to do. */
function isLocked(parts: DeviceParts, fd: number): boolean {
  try {
    return !parts.native.tryLock(fd);
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === 'EOPNOTSUPP' || errno === 'ENOLCK' || errno === 'ENOSYS') return false;
    throw thrown;
  }
}

async function checkOpened(
  parts: DeviceParts,
  place: Place,
  handle: FileHandle,
  wantedBytes: number,
): Promise<number> {
  const { identity } = place;
  const locked = isLocked(parts, handle.fd);
  // A device is ours by its exclusive open; who locks one besides is a program that looks at it for a moment (udev).
  if (locked && identity.kind === 'file') throw busy(place, ['locked by another process']);
  const uses = await findUses(parts, { fd: handle.fd, identity, claimed: false, purpose: 'write' });
  if (uses.length > 0) throw busy(place, uses);
  const sizeBytes = await sizeOf(parts, place, handle);
  checkSize(place, sizeBytes, wantedBytes);
  return sizeBytes;
}

async function makeTarget(
  parts: DeviceParts,
  place: Place,
  handle: FileHandle,
  sizeBytes: number,
  release: Release,
): Promise<Target> {
  const identity = await targetIdentity(place.identity, handle, sizeBytes);
  let open = true;
  async function abort(): Promise<void> {
    if (!open) return;
    open = false;
    try {
      await handle.close();
    } catch (thrown) {
      throw targetWriteFault(place.url, thrown);
    } finally {
      release();
    }
  }
  async function sync(): Promise<void> {
    await parts.native.sync(handle.fd).catch((thrown: unknown) => {
      throw targetWriteFault(place.url, thrown);
    });
  }
  async function commit(before?: () => void): Promise<void> {
    if (!open) return;
    await sync();
    before?.();
    await abort();
  }
  const { url } = place;
  return { url, fd: handle.fd, sizeBytes, blank: false, identity, sync, commit, abort, leave: abort };
}

async function openExisting(parts: DeviceParts, place: Place, options: OpenTargetOptions): Promise<Target> {
  await checkBeforeOpen(place, options);
  const release = claim(identityKey(place.identity), 'write');
  if (release === undefined) throw anotherRestore(place);
  let handle: FileHandle | undefined;
  try {
    handle = await openForWriting(parts, place);
    const sizeBytes = await checkOpened(parts, place, handle, options.sizeBytes);
    return await makeTarget(parts, place, handle, sizeBytes, release);
  } catch (thrown) {
    await handle?.close();
    release();
    throw targetOpenFault(place.url, thrown);
  }
}

async function locateTarget(url: DeviceUrl): Promise<Located> {
  try {
    return await locate(url);
  } catch (thrown) {
    throw targetOpenFault(url.text, thrown);
  }
}

export async function openTarget(
  parts: DeviceParts,
  text: string,
  options: OpenTargetOptions,
): Promise<Target> {
  const url = parseDeviceUrl(text);
  const located = await locateTarget(url);
  if (located.found === 'nothing') return openNewFile(parts, url, options);
  const { calledBy } = options;
  if (located.found === 'place')
    return openExisting(parts, { ...located.place, url: calledBy ?? located.place.url }, options);
  throw new Fault('TARGET_UNUSABLE', `Cannot write to "${text}": ${located.why}`);
}
