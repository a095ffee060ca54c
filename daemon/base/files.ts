/** The one way to write a small file: whole and durable, or not at all; and the one to remove a file for sure. Source: rename(2),
 *  fsync(2), unlink(2). */

import { randomBytes } from 'node:crypto';
import { open, rename, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf } from './faults.ts';

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Removes a file; one that is not there is removed already. Not `rm`: where the kernel refuses with EPERM it tries rmdir, and
 *  tells of that one's ENOTDIR, which sounds as if nothing had been there. */
export async function removeFile(path: string): Promise<void> {
  await unlink(path).catch((thrown: unknown) => {
    if (errnoOf(thrown) !== 'ENOENT') throw thrown;
  });
}

/** Replaces `path` by `bytes`. When it resolves they outlive a power cut; a crash leaves the old or the new file. */
export async function writeFileAtomic(path: string, bytes: Uint8Array | string, mode = 0o640): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`);
  await replaceFile(path, bytes, { temporary, mode });
  await syncFolder(dirname(path));
}

/** Replaces `path` by `bytes`, which are whole and durable before they get the name; the name may be lost by a power cut.
 *  `temporary`: a free name on the same file system. */
export async function replaceFile(
  path: string,
  bytes: Uint8Array | string,
  { temporary, mode }: { readonly temporary: string; readonly mode: number },
): Promise<void> {
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
}
