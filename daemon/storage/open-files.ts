/** Files kept open for reading, because a pack is read many times in a row.
 *  Promises: at most `openFilesMax` idle files, those used last; a file is never closed under a read; a file that somebody
 *  removed or replaced is noticed within `trustMs`; what is no regular file is not waited for.
 *  Knows nothing of keys or of what the bytes mean. */

import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { Fault } from '../base/faults.ts';
import { inLane } from './lanes.ts';

const openFilesMax = 64;
/** How long an open file is taken to be still the one that has the name. */
const trustMs = 250;

export interface Opened {
  readonly handle: FileHandle;
  readonly inode: number;
}

interface OpenFile {
  readonly opening: Promise<Opened>;
  users: number;
  forgotten: boolean;
  checkedAtMs: number;
}

export class OpenFiles {
  readonly #place: string;
  readonly #open: (path: string) => Promise<Opened>;
  /** The first is the one used longest ago. */
  readonly #files = new Map<string, OpenFile>();

  /** `place`: the root of the storage, whose lanes are used. */
  constructor(place: string, open: (path: string) => Promise<Opened> = openFile) {
    this.#place = place;
    this.#open = open;
  }

  /** Fills `output` from the file; OBJECT_MISSING where it ends before. System errors are thrown as they are. */
  async read(path: string, position: number, output: Uint8Array): Promise<void> {
    await this.use(path, async (file) => {
      let done = 0;
      while (done < output.length) {
        const { bytesRead } = await inLane(this.#place, () =>
          file.read(output, done, output.length - done, position + done),
        );
        if (bytesRead === 0)
          throw new Fault('OBJECT_MISSING', `Cannot read "${path}": it ends at byte ${position + done}`);
        done += bytesRead;
      }
    });
  }

  /** Runs `read` on the open file of `path`. */
  async use(path: string, read: (file: FileHandle) => Promise<void>): Promise<void> {
    await this.#forgetIfReplaced(path);
    const file = this.#take(path);
    try {
      const { handle } = await file.opening;
      await read(handle);
    } catch (thrown) {
      this.#drop(path, file);
      throw thrown;
    } finally {
      file.users -= 1;
      closeIfUnused(file);
    }
  }

  forget(path: string): void {
    const file = this.#files.get(path);
    if (file !== undefined) this.#drop(path, file);
  }

  clear(): void {
    for (const path of this.#files.keys()) this.forget(path);
  }

  /** Counts a user at once, with nothing awaited after the look-up: from here on nobody closes it. */
  #take(path: string): OpenFile {
    const known = this.#files.get(path);
    const now = performance.now();
    const file = known ?? { opening: this.#opened(path), users: 0, forgotten: false, checkedAtMs: now };
    file.users += 1;
    this.#files.delete(path);
    this.#files.set(path, file);
    for (const oldest of this.#files.keys()) {
      if (this.#files.size <= openFilesMax) break;
      this.forget(oldest);
    }
    return file;
  }

  #opened(path: string): Promise<Opened> {
    return inLane(this.#place, () => this.#open(path));
  }

  async #forgetIfReplaced(path: string): Promise<void> {
    const file = this.#files.get(path);
    if (file === undefined || performance.now() - file.checkedAtMs < trustMs) return;
    file.checkedAtMs = performance.now();
    const opened = await file.opening.catch(() => undefined);
    const now = await inLane(this.#place, () => stat(path)).catch(() => undefined);
    if (now === undefined || now.ino !== opened?.inode) this.#drop(path, file);
  }

  #drop(path: string, file: OpenFile): void {
    if (this.#files.get(path) === file) this.#files.delete(path);
    file.forgotten = true;
    closeIfUnused(file);
  }
}

/** A file that could not be opened needs no close; one that can't be closed was only read. */
function closeIfUnused({ opening, users, forgotten }: OpenFile): void {
  if (!forgotten || users > 0) return;
  opening.then(({ handle }) => handle.close()).catch(() => undefined);
}

/** A pipe that somebody put in the place of a file must not hold a thread until there is a writer. */
async function openFile(path: string): Promise<Opened> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stats = await handle.stat();
  if (stats.isFile()) return { handle, inode: stats.ino };
  await handle.close();
  throw new Error('it is not a regular file');
}
