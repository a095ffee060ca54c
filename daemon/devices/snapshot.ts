/** Snapshots of sources: a file that shares its bytes with the source until one of them changes.
 *  Promises: the copy is of one moment; its name is hidden, tells whose it is, and only its owner may read it; the caller learns
 *  the name before the file is made. Where no snapshot can be made nothing is left, and the answer is why.
 *  Source: ioctl_ficlone(2). */

import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Native } from '../../native/native.ts';
import { errnoOf } from '../base/faults.ts';
import { fileNameBytesMax } from '../base/limits.ts';
import { locateSource } from './describe.ts';
import { formatDeviceUrl, parseDeviceUrl } from './device-url.ts';
import { whyOf } from './faults.ts';

export interface SnapshotParts {
  readonly native: Pick<Native, 'cloneFile'>;
}

/** A snapshot that has been made once, and may be made anew as long as it is open. */
export interface FileSnapshot {
  readonly path: string;
  readonly url: string;
  readonly sizeBytes: number;
  /** Puts the bytes of this moment in the place of the earlier ones. */
  renew(): Promise<void>;
  /** Makes it durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

const suffix = (id: string): string => `.basalt-${id.replaceAll('-', '')}.snapshot`;

/** Where a snapshot of a file source is put: beside it, as only one file system can share bytes. Undefined for devices. */
export async function snapshotPathOf(url: string, id: string): Promise<string | undefined> {
  const place = await locateSource(url);
  if (place.kind !== 'file') return undefined;
  const end = suffix(id);
  let name = `.${basename(place.path)}`;
  while (Buffer.byteLength(name + end) > fileNameBytesMax) name = name.slice(0, -1);
  return join(dirname(place.path), name + end);
}

/** Whether a path has a name that only a snapshot of ours has. */
export const isSnapshotPath = (path: string): boolean =>
  /^\..*\.basalt-[0-9a-f]{32}\.snapshot$/s.test(basename(path));

/** The snapshot, or the clause that says why there can be none. */
export async function openSnapshot(
  { native }: SnapshotParts,
  sourceFd: number,
  path: string,
): Promise<FileSnapshot | string> {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  let handle: FileHandle;
  try {
    handle = await open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  } catch (thrown) {
    return `"${path}" cannot be made: ${whyOf(thrown)}`;
  }
  try {
    let sizeBytes = await native.cloneFile(sourceFd, handle.fd);
    return {
      path,
      url: formatDeviceUrl('file', path),
      get sizeBytes() {
        return sizeBytes;
      },
      renew: async () => {
        sizeBytes = await native.cloneFile(sourceFd, handle.fd);
      },
      sync: () => handle.sync(),
      close: () => handle.close(),
    };
  } catch (thrown) {
    await handle.close();
    await removeSnapshot(path);
    return reason(thrown);
  }
}

/** Removes a file that `openSnapshot` made; one that is gone is fine. */
export async function removeSnapshot(path: string): Promise<void> {
  if (!isSnapshotPath(path)) return;
  await unlink(path).catch((thrown: unknown) => {
    if (errnoOf(thrown) !== 'ENOENT') throw thrown;
  });
}

/** The file behind the URL of a snapshot. */
export const pathOfSnapshot = (url: string): string => parseDeviceUrl(url).path;

const incapable: ReadonlySet<string> = new Set([
  'EOPNOTSUPP',
  'EXDEV',
  'EINVAL',
  'ENOTTY',
  'ENOSYS',
  'EBADF',
]);

const reason = (thrown: unknown): string =>
  incapable.has(errnoOf(thrown) ?? '') ? 'its file system cannot share bytes between files' : whyOf(thrown);
