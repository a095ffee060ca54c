/** Files kept open for reading, because a pack is read many times in a row.
 *  Promises: at most `openFilesMax` idle files; a file is never closed under a read; a file that somebody removed or replaced
 *  is noticed within `trustMs`. Knows nothing of keys or of what is read. */

import { type FileHandle, open, stat } from 'node:fs/promises';

const openFilesMax = 64;
/** How long an open file is taken to be still the one that has the name. */
const trustMs = 250;

interface OpenFile {
  readonly handle: FileHandle;
  readonly inode: number;
  users: number;
  forgotten: boolean;
  checkedAtMs: number;
}

export class OpenFiles {
  readonly #files = new Map<string, Promise<OpenFile>>();

  /** Runs `read` on the open file of `path`. */
  async use(path: string, read: (file: FileHandle) => Promise<void>): Promise<void> {
    const file = await this.#current(path);
    file.users += 1;
    try {
      await read(file.handle);
    } catch (thrown) {
      this.forget(path);
      throw thrown;
    } finally {
      file.users -= 1;
      if (file.forgotten && file.users === 0) await file.handle.close();
    }
  }

  forget(path: string): void {
    const file = this.#files.get(path);
    this.#files.delete(path);
    file?.then(
      (opened) => {
        opened.forgotten = true;
        return opened.users === 0 ? opened.handle.close() : undefined;
      },
      () => undefined,
    );
  }

  clear(): void {
    for (const path of this.#files.keys()) this.forget(path);
  }

  async #current(path: string): Promise<OpenFile> {
    const known = await this.#files.get(path);
    if (known !== undefined && !known.forgotten) {
      if (performance.now() - known.checkedAtMs < trustMs) return known;
      known.checkedAtMs = performance.now();
      const now = await stat(path).catch(() => undefined);
      if (now?.ino === known.inode && !known.forgotten) return known;
      this.forget(path);
    }
    const opening = this.#files.get(path) ?? openFile(path);
    // Put last: the first of the map is the one used longest ago.
    this.#files.delete(path);
    this.#files.set(path, opening);
    for (const oldest of this.#files.keys()) {
      if (this.#files.size <= openFilesMax) break;
      this.forget(oldest);
    }
    try {
      return await opening;
    } catch (thrown) {
      this.#files.delete(path);
      throw thrown;
    }
  }
}

async function openFile(path: string): Promise<OpenFile> {
  const handle = await open(path, 'r');
  const { ino } = await handle.stat();
  return { handle, inode: ino, users: 0, forgotten: false, checkedAtMs: performance.now() };
}
