/** Files that are made from a repository to read it faster, in the state folder of this host: bounded, and made anew at any time.
 *  Promises: together they stay within their limit (what was used longest ago goes first); a file has its name only when it is
 *  whole and on disk; the same file is made once at a time. Knows nothing of what is in them. */

import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, Fault } from '../../base/faults.ts';
import { OpenFiles } from '../../storage/open-files.ts';

/** A file in the making, which can be read already. */
export interface GrowingFile {
  readonly sizeBytes: number;
  /** False where the limit leaves no room: nothing was written. */
  append(bytes: Uint8Array): Promise<boolean>;
  read(position: number, output: Uint8Array): Promise<void>;
  /** It has its name and is whole. */
  commit(): Promise<void>;
  abort(): Promise<void>;
}

const partialEnding = '.partial';

export class StateFiles {
  readonly #folder: string;
  readonly #bytesMax: number;
  /** Name to size; the first is the one used longest ago. */
  readonly #sizes = new Map<string, number>();
  readonly #making = new Map<string, Promise<void>>();
  readonly #files: OpenFiles;
  #total = 0;

  private constructor(folder: string, bytesMax: number) {
    this.#folder = folder;
    this.#files = new OpenFiles(folder);
    this.#bytesMax = bytesMax;
  }

  static async open(folder: string, bytesMax: number): Promise<StateFiles> {
    const files = new StateFiles(folder, bytesMax);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const found: { name: string; size: number; usedAtMs: number }[] = [];
    for (const name of await readdir(folder)) {
      const stats = await stat(join(folder, name));
      if (name.endsWith(partialEnding)) await rm(join(folder, name), { force: true });
      else found.push({ name, size: stats.size, usedAtMs: stats.atimeMs });
    }
    for (const { name, size } of found.sort((a, b) => a.usedAtMs - b.usedAtMs)) files.#count(name, size);
    await files.#makeRoom(0);
    return files;
  }

  /** A name for what is made from `evidence`, which says all that the file depends on. */
  nameOf(kind: string, evidence: string): string {
    return `${createHash('sha256').update(evidence).digest('hex').slice(0, 40)}.${kind}`;
  }

  /** Undefined where there is none of that name. */
  size(name: string): number | undefined {
    const size = this.#sizes.get(name);
    if (size !== undefined) {
      this.#sizes.delete(name);
      this.#sizes.set(name, size);
    }
    return size;
  }

  /** OBJECT_MISSING where it has gone: then it must be made anew. */
  async read(name: string, position: number, output: Uint8Array): Promise<void> {
    const path = join(this.#folder, name);
    this.size(name);
    try {
      await this.#files.use(path, (file) => readWhole(file, position, output));
    } catch (thrown) {
      if (errnoOf(thrown) !== 'ENOENT') throw failure('read', path, thrown);
      this.#forget(name);
      throw new Fault('OBJECT_MISSING', `Cannot read "${path}": it has gone`, { cause: thrown });
    }
  }

  /** Makes a file where there is none of that name. STORAGE_FULL where the limit leaves no room. */
  async make(
    name: string,
    write: (append: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    if (this.size(name) !== undefined) return;
    let making = this.#making.get(name);
    if (making === undefined) {
      making = this.#make(name, write).finally(() => this.#making.delete(name));
      this.#making.set(name, making);
    }
    await making;
  }

  async #make(
    name: string,
    write: (append: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const file = await this.create(name);
    try {
      await write(async (bytes) => {
        if (await file.append(bytes)) return;
        throw new Fault(
          'STORAGE_FULL',
          `Cannot make "${join(this.#folder, name)}": cinder_cache_bytes is too small`,
          {
            hint: 'Raise cinder_cache_bytes and restart basaltd',
          },
        );
      });
      await file.commit();
    } catch (thrown) {
      await file.abort();
      throw thrown;
    }
  }

  async create(name: string): Promise<GrowingFile> {
    const path = join(this.#folder, name);
    const partial = `${path}${partialEnding}`;
    const handle = await open(partial, 'w+', 0o600).catch((thrown: unknown) => {
      throw failure('make', partial, thrown);
    });
    let [sizeBytes, ended] = [0, false];
    const end = async () => {
      if (ended) return;
      ended = true;
      await handle.close();
    };
    return {
      get sizeBytes() {
        return sizeBytes;
      },
      append: async (bytes) => {
        if (!(await this.#makeRoom(bytes.length))) return false;
        await writeWhole(handle, sizeBytes, bytes).catch((thrown: unknown) => {
          throw failure('write to', partial, thrown);
        });
        sizeBytes += bytes.length;
        this.#total += bytes.length;
        return true;
      },
      read: (position, output) => readWhole(handle, position, output),
      commit: async () => {
        await handle.datasync();
        await rename(partial, path);
        await end();
        this.#files.forget(path);
        this.#total -= sizeBytes;
        this.#count(name, sizeBytes);
      },
      abort: async () => {
        if (ended) return;
        await end();
        this.#total -= sizeBytes;
        await rm(partial, { force: true });
      },
    };
  }

  async remove(name: string): Promise<void> {
    this.#forget(name);
    await rm(join(this.#folder, name), { force: true });
  }

  get totalBytes(): number {
    return this.#total;
  }

  /** Removes what is whole; what is in the making stays. */
  async clear(): Promise<void> {
    for (const name of Array.from(this.#sizes.keys())) await this.remove(name);
  }

  close(): void {
    this.#files.clear();
  }

  #count(name: string, size: number): void {
    this.#forget(name);
    this.#sizes.set(name, size);
    this.#total += size;
  }

  #forget(name: string): void {
    this.#total -= this.#sizes.get(name) ?? 0;
    this.#sizes.delete(name);
    this.#files.forget(join(this.#folder, name));
  }

  /** False where that many bytes do not fit, whatever goes. */
  async #makeRoom(bytes: number): Promise<boolean> {
    for (const name of this.#sizes.keys()) {
      if (this.#total + bytes <= this.#bytesMax) break;
      await this.remove(name);
    }
    return this.#total + bytes <= this.#bytesMax;
  }
}

function failure(what: string, path: string, thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  const errno = errnoOf(thrown) ?? String(thrown);
  const code = errno === 'ENOSPC' || errno === 'EDQUOT' ? 'STORAGE_FULL' : 'STORAGE_FAILED';
  return new Fault(code, `Cannot ${what} "${path}": ${errno}`, { cause: thrown });
}

async function readWhole(file: FileHandle, position: number, output: Uint8Array): Promise<void> {
  let done = 0;
  while (done < output.length) {
    const { bytesRead } = await file.read(output, done, output.length - done, position + done);
    if (bytesRead === 0)
      throw new Fault('STORAGE_FAILED', `Cannot read byte ${position + done} of a file of the cache`);
    done += bytesRead;
  }
}

async function writeWhole(file: FileHandle, position: number, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
