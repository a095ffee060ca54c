/** A folder of somebody else, read and never written. Source: open(2), proc(5).
 *  Promises: nothing outside of the root is read, whatever its symbolic links and names say, also where they change while we look;
 *  nothing is written, not even for a moment. Knows nothing of what the bytes mean. */

import { constants } from 'node:fs';
import { lstat, open, opendir, readlink, realpath, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, Fault } from '../base/faults.ts';
import { isWithin } from '../base/paths.ts';
import { inLane } from './lanes.ts';
import { type Opened, OpenFiles } from './open-files.ts';

/** Deeper folders are not looked into. */
const depthMax = 8;

export interface FoundFile {
  /** Path of its folder below the root, without a slash at either end. */
  readonly container: string;
  readonly name: string;
  readonly sizeBytes: number;
}

function storageFault(what: string, path: string, thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  const errno = errnoOf(thrown) ?? String(thrown);
  const code = errno === 'ENOENT' || errno === 'ENOTDIR' ? 'OBJECT_MISSING' : 'STORAGE_FAILED';
  const why = errno === 'ELOOP' ? 'it is a symbolic link' : errno;
  return new Fault(code, `Cannot ${what} "${path}": ${why}`, { cause: thrown });
}

export class ConfinedDirectory {
  readonly url: string;
  readonly root: string;
  readonly #files: OpenFiles;

  private constructor(root: string, scheme: string) {
    this.root = root;
    this.url = `${scheme}://${root}`;
    this.#files = new OpenFiles(root, (path) => this.#open(path));
  }

  /** REPOSITORY_MISSING where there is no folder. */
  static async open(folder: string, scheme: string): Promise<ConfinedDirectory> {
    const root = await realpath(folder).catch((thrown: unknown) => {
      throw new Fault('REPOSITORY_MISSING', `Cannot open "${folder}": ${errnoOf(thrown) ?? 'it fails'}`, {
        cause: thrown,
        hint: 'Mount what should be there, or name the folder that has the backups',
      });
    });
    if (!(await lstat(root)).isDirectory())
      throw new Fault('REPOSITORY_MISSING', `Cannot open "${folder}": it is no folder`);
    return new ConfinedDirectory(root, scheme);
  }

  async read(key: string, position: number, output: Uint8Array): Promise<void> {
    const path = this.#pathOf(key);
    try {
      await this.#files.read(path, position, output);
    } catch (thrown) {
      throw storageFault('read', path, thrown);
    }
  }

  async evidence(key: string): Promise<{ sizeBytes: number; mark: string } | undefined> {
    const path = this.#pathOf(key);
    try {
      const { size, mtimeNs, ino } = await inLane(this.root, () => lstat(path, { bigint: true }));
      return { sizeBytes: Number(size), mark: `${size}-${mtimeNs}-${ino}` };
    } catch (thrown) {
      const fault = storageFault('look at', path, thrown);
      if (fault.code === 'OBJECT_MISSING') return undefined;
      throw fault;
    }
  }

  async *list(container: string): AsyncIterable<FoundFile> {
    for await (const entry of this.#entries(container)) if (entry.sizeBytes >= 0) yield entry;
  }

  async *walk(container = '', depth = 0): AsyncIterable<FoundFile> {
    for await (const entry of this.#entries(container)) {
      if (entry.sizeBytes >= 0) yield entry;
      else if (depth < depthMax)
        yield* this.walk(container === '' ? entry.name : `${container}/${entry.name}`, depth + 1);
    }
  }

  async requireHere(): Promise<void> {
    await inLane(this.root, () => lstat(this.root)).catch((thrown: unknown) => {
      throw new Fault('REPOSITORY_MISSING', `Cannot use "${this.root}": ${errnoOf(thrown) ?? 'it fails'}`, {
        cause: thrown,
      });
    });
  }

  async freeBytes(): Promise<number | undefined> {
    const { bavail, bsize } = await inLane(this.root, () => statfs(this.root));
    return bavail * bsize;
  }

  async close(): Promise<void> {
    this.#files.clear();
  }

  /** Files with their sizes, folders with size -1; nothing else, and no symbolic links. */
  async *#entries(container: string): AsyncIterable<FoundFile> {
    const path = container === '' ? this.root : this.#pathOf(container);
    let folder: Awaited<ReturnType<typeof opendir>>;
    try {
      if (!isWithin(await inLane(this.root, () => realpath(path)), this.root)) return;
      folder = await inLane(this.root, () => opendir(path));
    } catch (thrown) {
      const fault = storageFault('list', path, thrown);
      if (fault.code === 'OBJECT_MISSING') return;
      throw fault;
    }
    try {
      for (;;) {
        const entry = await inLane(this.root, () => folder.read());
        if (entry === null) return;
        const { name } = entry;
        if (entry.isDirectory()) yield { container, name, sizeBytes: -1 };
        if (!entry.isFile()) continue;
        const stats = await inLane(this.root, () => lstat(join(path, name))).catch(() => undefined);
        if (stats?.isFile() === true) yield { container, name, sizeBytes: stats.size };
      }
    } finally {
      await folder.close();
    }
  }

  #pathOf(key: string): string {
    if (key.includes('\0') || key.split('/').some((part) => part === '' || part === '.' || part === '..'))
      throw new Fault('INVALID_ARGUMENT', `Cannot use "${key}": it leads outside of the repository`);
    return join(this.root, key);
  }

  /** Where it really led is asked of what was opened: a link on the way may have come a moment ago. */
  async #open(path: string): Promise<Opened> {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw new Fault('STORAGE_FAILED', `Cannot read "${path}": it is no regular file`);
      if (!isWithin(await readlink(`/proc/self/fd/${handle.fd}`), this.root))
        throw new Fault('STORAGE_FAILED', `Cannot read "${path}": it leads outside of the repository`);
      return { handle, inode: stats.ino };
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
  }
}
