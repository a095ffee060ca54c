/** Snapshots of files: a file that shares its bytes with the source until one of them changes.
 *  Promises: the copy is of one moment; its name is hidden, tells whose it is, and only its owner may read it.
 *  Source: ioctl_ficlone(2). */

import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Native } from '../../../native/native.ts';
import { errnoOf } from '../../base/faults.ts';
import { fileNameBytesMax } from '../../base/limits.ts';
import { locateSource } from '../describe.ts';
import type { Source } from '../device.ts';
import { formatDeviceUrl, parseDeviceUrl } from '../device-url.ts';
import { whyOf } from '../faults.ts';
import type { PreparedSnapshot, ReadableSnapshot, SnapshotMaker } from './maker.ts';

export interface ReflinkParts {
  readonly native: Pick<Native, 'cloneFile'>;
}

export const reflinkSnapshots = (parts: ReflinkParts): SnapshotMaker => ({
  kind: 'reflink',
  placeFor,
  isPlace,
  urlOf: (place) => formatDeviceUrl('file', place),
  placeIn: (url) => parseDeviceUrl(url).path,
  prepare: (source, place) => prepare(parts, source, place),
  open: (place) => Promise.resolve(readable(place)),
  remove,
});

const suffix = (id: string): string => `.basalt-${id.replaceAll('-', '')}.snapshot`;

/** Beside the source, as only one file system can share bytes. */
async function placeFor({ url }: Source, id: string): Promise<string | undefined> {
  const place = await locateSource(url);
  if (place.kind !== 'file') return undefined;
  const end = suffix(id);
  let name = `.${basename(place.path)}`;
  while (Buffer.byteLength(name + end) > fileNameBytesMax) name = name.slice(0, -1);
  return join(dirname(place.path), name + end);
}

const isPlace = (text: string): boolean =>
  text.startsWith('/') && /^\..*\.basalt-[0-9a-f]{32}\.snapshot$/s.test(basename(text));

/** The first copy shows that it can be done at all. */
async function prepare(
  { native }: ReflinkParts,
  { fd }: Source,
  path: string,
): Promise<PreparedSnapshot | string> {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  let handle: FileHandle;
  try {
    handle = await open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  } catch (thrown) {
    return `"${path}" cannot be made: ${whyOf(thrown)}`;
  }
  try {
    let sizeBytes = await native.cloneFile(fd, handle.fd);
    return {
      take: async (again) => {
        if (again) sizeBytes = await native.cloneFile(fd, handle.fd);
      },
      finish: async () => {
        await handle.sync();
        return sizeBytes;
      },
      close: () => handle.close(),
    };
  } catch (thrown) {
    await handle.close();
    await remove(path);
    return reason(thrown);
  }
}

/** A file stays as it is by itself. */
const readable = (path: string): ReadableSnapshot => ({
  url: formatDeviceUrl('file', path),
  watch: () => () => undefined,
  trouble: () => Promise.resolve(undefined),
  release: () => Promise.resolve(),
});

async function remove(path: string): Promise<void> {
  if (!isPlace(path)) return;
  await unlink(path).catch((thrown: unknown) => {
    if (errnoOf(thrown) !== 'ENOENT') throw thrown;
  });
}

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
