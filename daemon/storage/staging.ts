/** Files in the making, beside the folders that they are for: on the same file system, where nobody looks for them.
 *    create ─write▶ sync ▶ close ─▶ publish (rename) │ remove
 *  Promises: nothing is seen under its name before it is whole and durable; what a crash of the same user left is removed when
 *  the place is opened again. Knows nothing of what the bytes mean. Source: rename(2), fsync(2). */

import { constants } from 'node:fs';
import { chmod, copyFile, type FileHandle, mkdir, open, realpath, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Fault } from '../base/faults.ts';
import { syncFolder } from '../base/files.ts';
import { isWithin } from '../base/paths.ts';
import { storageFault } from './directory.ts';
import { inLane } from './lanes.ts';

/** One file in the making. Several writes may be under way. */
export class StagedFile {
  readonly path: string;
  readonly #place: string;
  readonly #file: FileHandle;
  #closed = false;

  /** `place`: the root of the storage, whose lanes are used. */
  constructor(place: string, path: string, file: FileHandle) {
    this.#place = place;
    this.path = path;
    this.#file = file;
  }

  async write(position: number, bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await inLane(this.#place, () =>
          this.#file.write(bytes, done, bytes.length - done, position + done),
        );
        done += bytesWritten;
      }
    } catch (thrown) {
      throw storageFault('write to', this.path, thrown);
    }
  }

  /** Fills `output` as far as the file reaches; gives the bytes read. */
  async read(position: number, output: Uint8Array): Promise<number> {
    let done = 0;
    while (done < output.length) {
      const { bytesRead } = await inLane(this.#place, () =>
        this.#file.read(output, done, output.length - done, position + done),
      );
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  /** Makes the file that long; what was never written is zeros. */
  async resize(sizeBytes: number): Promise<void> {
    await inLane(this.#place, () => this.#file.truncate(sizeBytes)).catch((thrown: unknown) => {
      throw storageFault('write to', this.path, thrown);
    });
  }

  /** Makes the bytes durable, and ends the writing. */
  async seal(): Promise<void> {
    try {
      await inLane(this.#place, () => this.#file.datasync());
      await this.close();
    } catch (thrown) {
      throw storageFault('store', this.path, thrown);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await inLane(this.#place, () => this.#file.close());
  }

  async discard(): Promise<void> {
    await this.close().catch(() => undefined);
    await inLane(this.#place, () => rm(this.path, { force: true })).catch(() => undefined);
  }
}

/** The folder of one piece of work. */
export class Staging {
  readonly #root: string;
  readonly #folder: string;
  readonly #fileMode: number;

  private constructor(root: string, folder: string, fileMode: number) {
    this.#root = root;
    this.#folder = folder;
    this.#fileMode = fileMode;
  }

  /** `place`: a folder name below the root that nothing else uses. */
  static async open(root: string, place: string, fileMode: number): Promise<Staging> {
    const folder = join(root, place);
    try {
      await inLane(root, async () => {
        await rm(folder, { recursive: true, force: true });
        await mkdir(folder, { recursive: true, mode: 0o700 });
      });
    } catch (thrown) {
      throw storageFault('write to', folder, thrown);
    }
    return new Staging(root, folder, fileMode);
  }

  async create(name: string): Promise<StagedFile> {
    const path = join(this.#folder, name);
    try {
      const file = await inLane(this.#root, () => open(path, 'wx+', this.#fileMode));
      // The mask of the process must not take from the group what is promised to it.
      await inLane(this.#root, () => file.chmod(this.#fileMode));
      return new StagedFile(this.#root, path, file);
    } catch (thrown) {
      throw storageFault('write to', path, thrown);
    }
  }

  /** Gives a sealed file its name in `folder`, below the root. */
  async publish(name: string, folder: string, as: string): Promise<void> {
    const target = join(this.#root, folder, as);
    await inLane(this.#root, () => rename(join(this.#folder, name), target)).catch((thrown: unknown) => {
      throw storageFault('store', target, thrown);
    });
  }

  /** Gives a file in the making the name of another one. */
  async rename(from: string, to: string): Promise<void> {
    const target = join(this.#folder, to);
    await inLane(this.#root, () => rename(join(this.#folder, from), target)).catch((thrown: unknown) => {
      throw storageFault('store', target, thrown);
    });
  }

  /** A copy of a sealed file. */
  async copy(from: string, to: string): Promise<void> {
    const target = join(this.#folder, to);
    try {
      const file = await inLane(this.#root, async () => {
        await copyFile(
          join(this.#folder, from),
          target,
          constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE,
        );
        return new StagedFile(this.#root, target, await open(target, 'r+'));
      });
      await file.seal();
    } catch (thrown) {
      throw storageFault('store', target, thrown);
    }
  }

  /** Makes a folder below the root, with its parents, durable; only a new one gets the mode. */
  async makeFolder(folder: string, mode: number): Promise<void> {
    const path = join(this.#root, folder);
    try {
      await inLane(this.#root, () => this.#makeDurable(path, mode));
    } catch (thrown) {
      throw storageFault('make the folder', path, thrown);
    }
  }

  async #makeDurable(path: string, mode: number): Promise<void> {
    const made = await mkdir(path, { recursive: true, mode });
    if (!isWithin(await realpath(path), await realpath(this.#root)))
      throw new Fault('STORAGE_FAILED', `Cannot use the folder "${path}": it leads outside`);
    if (made !== undefined) await chmod(path, mode);
    for (let at = path; at !== this.#root && at.startsWith(this.#root); at = dirname(at))
      await syncFolder(dirname(at));
  }

  /** Makes the names in a folder below the root durable. */
  async syncFolder(folder: string): Promise<void> {
    await inLane(this.#root, () => syncFolder(join(this.#root, folder))).catch((thrown: unknown) => {
      throw storageFault('store', join(this.#root, folder), thrown);
    });
  }

  /** Removes what was not published. */
  async close(): Promise<void> {
    await inLane(this.#root, () => rm(this.#folder, { recursive: true, force: true })).catch(() => undefined);
  }
}
