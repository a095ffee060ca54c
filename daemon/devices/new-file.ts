/** A target that is a file made just now. It lives under a temporary name beside the final one until `commit`.
 *  Promises: the final name appears only with every byte durable behind it, and never takes the place of anything; the temporary
 *  name is told before the file is made, so that a crash at any moment leaves only what can be found and removed. */

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, open, realpath, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf, Fault } from '../base/faults.ts';
import { syncFolder } from '../base/files.ts';
import { claim, type Release } from './claims.ts';
import type { OpenTargetOptions, Target } from './device.ts';
import { type DeviceUrl, formatDeviceUrl, parseDeviceUrl } from './device-url.ts';
import { targetOpenFault, targetWriteFault } from './faults.ts';
import type { DeviceParts } from './open-checked.ts';
import { fileIdentity } from './target-identity.ts';

const newFileMode = 0o600;

interface Names {
  readonly url: string;
  readonly folder: string;
  readonly final: string;
  readonly temporary: string;
}

const unusable = (url: DeviceUrl, why: string): Fault =>
  new Fault('TARGET_UNUSABLE', `Cannot make "${url.text}": ${why}`);

async function chooseNames(url: DeviceUrl): Promise<Names> {
  if (url.kind === 'block' || url.kind === 'loop') throw unusable(url, 'there is no such device');
  const name = basename(url.path);
  if (url.path.endsWith('/') || name === '' || name === '.' || name === '..') {
    throw unusable(url, 'it names a folder');
  }
  const folder = await realpath(dirname(url.path)).catch((thrown: unknown) => {
    const missing = errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'ENOTDIR';
    throw missing
      ? unusable(url, `there is no folder "${dirname(url.path)}"`)
      : targetOpenFault(url.text, thrown);
  });
  // A misspelt device must not become a file in the memory that /dev lies in.
  if (`${folder}/`.startsWith('/dev/') && !`${folder}/`.startsWith('/dev/shm/')) {
    throw unusable(url, 'there is no such device');
  }
  const final = join(folder, name);
  const dangling = await lstat(final).then(
    () => true,
    () => false,
  );
  if (dangling) throw unusable(url, 'it is a symbolic link that leads nowhere');
  const temporary = join(folder, `.${name}.basalt-${randomBytes(6).toString('hex')}.partial`);
  return { url: formatDeviceUrl('file', url.path), folder, final, temporary };
}

/** Only a name that a restore gives to a file in the making is ever removed, or gone on with. */
export const isPartialName = (path: string): boolean =>
  /^\..*\.basalt-[0-9a-f]{12}\.partial$/.test(basename(path));

async function makeFile(names: Names, sizeBytes: number): Promise<FileHandle> {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const handle = await open(names.temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, newFileMode);
  try {
    await handle.truncate(sizeBytes);
    return handle;
  } catch (thrown) {
    await handle.close();
    await removeName(names.temporary);
    throw thrown;
  }
}

async function removeName(path: string): Promise<void> {
  await unlink(path).catch((thrown: unknown) => {
    if (errnoOf(thrown) !== 'ENOENT') throw thrown;
  });
}

/** Gives the file its final name, never over something else. */
async function giveName(names: Names): Promise<void> {
  try {
    await link(names.temporary, names.final);
    await unlink(names.temporary);
    return;
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === 'EEXIST') throw existsFault(names);
    // File systems without hard links: these take the name with an empty file first, which the rename then replaces.
    if (errno !== 'EPERM' && errno !== 'EOPNOTSUPP' && errno !== 'ENOSYS') throw thrown;
  }
  const reserved = await open(names.final, 'wx', newFileMode).catch((thrown: unknown) => {
    throw errnoOf(thrown) === 'EEXIST' ? existsFault(names) : thrown;
  });
  await reserved.close();
  await rename(names.temporary, names.final);
}

const existsFault = (names: Names): Fault =>
  new Fault(
    'TARGET_EXISTS',
    `Cannot give the restored file its name "${names.final}": somebody made one meanwhile`,
  );

async function makeTarget(
  parts: DeviceParts,
  names: Names,
  handle: FileHandle,
  sizeBytes: number,
  release: Release,
): Promise<Target> {
  const { dev, ino } = await handle.stat({ bigint: true });
  const identity = fileIdentity(dev, ino, sizeBytes);
  let open = true;
  const shut = async (): Promise<void> => {
    open = false;
    try {
      await handle.close();
    } finally {
      release();
    }
  };
  async function sync(): Promise<void> {
    await parts.native.sync(handle.fd).catch((thrown: unknown) => {
      throw targetWriteFault(names.url, thrown);
    });
  }
  async function commit(before?: () => void): Promise<void> {
    if (!open) return;
    await sync();
    before?.();
    try {
      await giveName(names);
      await syncFolder(names.folder);
      await shut();
    } catch (thrown) {
      throw targetWriteFault(names.url, thrown);
    }
  }
  async function abort(): Promise<void> {
    if (!open) return;
    try {
      await removeName(names.temporary);
    } catch (thrown) {
      throw targetWriteFault(names.url, thrown);
    } finally {
      await shut();
    }
  }
  const leave = async (): Promise<void> => {
    if (open) await shut();
  };
  return { url: names.url, fd: handle.fd, sizeBytes, blank: true, identity, sync, commit, abort, leave };
}

export async function openNewFile(
  parts: DeviceParts,
  url: DeviceUrl,
  options: OpenTargetOptions,
): Promise<Target> {
  const names = await chooseNames(url);
  const release = claim(`new ${names.final}`, 'write');
  if (release === undefined) {
    throw new Fault('TARGET_BUSY', `Cannot make "${names.url}": another restore is making it`, {
      hint: 'Wait for the other restore to end: basaltctl job list',
    });
  }
  try {
    await options.onTemporary?.(names.temporary);
    const handle = await makeFile(names, options.sizeBytes);
    return await makeTarget(parts, names, handle, options.sizeBytes, release);
  } catch (thrown) {
    release();
    throw targetOpenFault(names.url, thrown);
  }
}

export interface ReopenOptions {
  readonly temporary: string;
  /** What the file in the making was. */
  readonly identity: string;
  readonly sizeBytes: number;
}

/** A file in the making that an earlier process has left: as a target; "named" where it has its final name by now; undefined where
 *  it is not there, or is not what was left. TARGET_EXISTS where somebody has taken the final name. */
export async function reopenNewFile(
  parts: DeviceParts,
  text: string,
  { temporary, identity, sizeBytes }: ReopenOptions,
): Promise<Target | 'named' | undefined> {
  const url = parseDeviceUrl(text);
  const folder = await realpath(dirname(url.path)).catch(() => undefined);
  const name = basename(url.path);
  const ours = isPartialName(temporary) && basename(temporary).startsWith(`.${name}.basalt-`);
  if (folder === undefined || dirname(temporary) !== folder || !ours) return undefined;
  const names = { url: formatDeviceUrl('file', url.path), folder, final: join(folder, name), temporary };
  const final = await lstat(names.final, { bigint: true }).catch(() => undefined);
  if (final !== undefined) {
    if (fileIdentity(final.dev, final.ino, Number(final.size)) !== identity) throw existsFault(names);
    await removeName(temporary);
    await syncFolder(folder);
    return 'named';
  }
  const release = claim(`new ${names.final}`, 'write');
  if (release === undefined) throw new Fault('TARGET_BUSY', `Cannot make "${names.url}": it is being made`);
  const handle = await open(temporary, constants.O_RDWR | constants.O_NOFOLLOW).catch(() => undefined);
  const stats = await handle?.stat({ bigint: true });
  const whole =
    stats?.isFile() === true &&
    stats.nlink === 1n &&
    stats.uid === BigInt(process.geteuid?.() ?? 0) &&
    fileIdentity(stats.dev, stats.ino, Number(stats.size)) === identity;
  if (handle !== undefined && whole) return makeTarget(parts, names, handle, sizeBytes, release);
  await handle?.close();
  release();
  return undefined;
}
