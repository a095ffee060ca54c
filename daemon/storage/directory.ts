/** A storage on a local (or mounted) folder. Source of the durability rules: rename(2), fsync(2), open(2).
 *
 *  Promises: bytes are synced before they get their name, and the folder after it; a temporary file is under `tmp/` until
 *  then, and what a crash left there is removed when the storage is opened for writing by its only user of that name.
 *  Knows nothing of what the bytes mean. */

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import {
  access,
  type FileHandle,
  mkdir,
  open,
  opendir,
  readdir,
  rename,
  rm,
  stat,
  statfs,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Native } from '../../native/native.ts';
import { KiB } from '../base/bytes.ts';
import { errnoOf, Fault } from '../base/faults.ts';
import { removeFile, syncFolder } from '../base/files.ts';
import { inLane, Turns } from './lanes.ts';
import { OpenFiles } from './open-files.ts';
import type { Storage, Upload } from './storage.ts';

/** The fault that a system error on `path` means to who uses the storage. */
export function storageFault(what: string, path: string, thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  const errno = errnoOf(thrown) ?? String(thrown);
  const message = `Cannot ${what} "${path}": ${errno}`;
  if (errno === 'ENOENT' || errno === 'ENOTDIR')
    return new Fault('OBJECT_MISSING', message, { cause: thrown });
  if (errno === 'ENOSPC' || errno === 'EDQUOT') return new Fault('STORAGE_FULL', message, { cause: thrown });
  if (errno === 'EROFS' || errno === 'EACCES' || errno === 'EPERM') {
    return new Fault('REPOSITORY_READ_ONLY', message, { cause: thrown });
  }
  return new Fault('STORAGE_FAILED', message, { cause: thrown });
}

/** Makes a folder below `root`. Its own name is synced too, even where somebody else has made it a moment ago. */
async function makeFolderDurable(root: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (let made = folder; made !== root && made.startsWith(root); made = dirname(made))
    await syncFolder(dirname(made));
}

/** File systems on disks of this machine, by their number in statfs(2): there a write past the page cache takes what the disk takes,
 *  and no copy. Those of a network wait for their server each time, and the page cache is what makes up for that. */
const localTypes: readonly number[] = [
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
];
const isLocal = async (path: string): Promise<boolean> => localTypes.includes((await statfs(path)).type);

/** What is smaller is not worth another descriptor. */
const directBytesMin = 64 * KiB;

interface Place {
  readonly root: string;
  readonly files: OpenFiles;
  /** One at a time: each waits long for its disk, and what is written meanwhile needs a lane too. */
  readonly commits: Turns;
  readonly native: Pick<Native, 'writeAt'>;
  /** On a disk of this machine. */
  readonly local: boolean;
}

class DirectoryUpload implements Upload {
  readonly #place: Place;
  readonly #path: string;
  readonly #file: FileHandle;
  /** The same file past the page cache; undefined where it can't be had. Opened when there is much to write. */
  #direct: Promise<FileHandle | undefined> | undefined;
  #ended = false;

  constructor(place: Place, path: string, file: FileHandle) {
    this.#place = place;
    this.#path = path;
    this.#file = file;
  }

  async write(position: number, bytes: Uint8Array): Promise<void> {
    const { root, native, local } = this.#place;
    try {
      await inLane(root, async () => {
        if (local && bytes.length >= directBytesMin) this.#direct ??= this.#openDirect();
        const direct = await this.#direct;
        await native.writeAt(this.#file.fd, direct?.fd ?? -1, position, bytes);
      });
    } catch (thrown) {
      throw storageFault('write to', this.#path, thrown);
    }
  }

  /** Where it can't be had, all goes through the page cache. */
  #openDirect(): Promise<FileHandle | undefined> {
    return open(this.#path, constants.O_WRONLY | constants.O_DIRECT).catch(() => undefined);
  }

  async commit(key: string): Promise<void> {
    const { root, commits } = this.#place;
    const path = join(root, key);
    try {
      await commits.take(() => inLane(root, () => this.#name(path)));
    } catch (thrown) {
      await this.abort();
      throw storageFault('store', path, thrown);
    }
  }

  async #name(path: string): Promise<void> {
    const { root, files } = this.#place;
    await this.#file.datasync();
    await this.#close();
    await makeFolderDurable(root, dirname(path));
    await rename(this.#path, path);
    files.forget(path);
    await syncFolder(dirname(path));
  }

  async abort(): Promise<void> {
    await inLane(this.#place.root, () => this.#remove());
  }

  async #close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const direct = await this.#direct;
    await direct?.close().catch(() => undefined);
    await this.#file.close();
  }

  async #remove(): Promise<void> {
    await this.#close().catch(() => undefined);
    await rm(this.#path, { force: true }).catch(() => undefined);
  }
}

export class DirectoryStorage implements Storage {
  readonly url: string;
  readonly #root: string;
  /** Name of the folder for what is being written; each user of the storage has its own. */
  readonly #workshop: string;
  readonly #files: OpenFiles;
  readonly #place: Place;

  private constructor(root: string, workshop: string, local: boolean, native: Pick<Native, 'writeAt'>) {
    this.#root = root;
    this.#files = new OpenFiles(root);
    this.#place = { root, files: this.#files, commits: new Turns(), native, local };
    this.url = `file://${root}`;
    this.#workshop = join(root, 'tmp', workshop);
  }

  /** `user`: a name that no other user of this storage has at the same time; what a crash of the same user left is removed. */
  static async open(root: string, user: string, native: Pick<Native, 'writeAt'>): Promise<DirectoryStorage> {
    const local = await inLane(root, () => isLocal(root)).catch(() => false);
    const storage = new DirectoryStorage(root, user, local, native);
    await inLane(root, () => rm(storage.#workshop, { recursive: true, force: true })).catch(() => undefined);
    return storage;
  }

  async writable(): Promise<boolean> {
    return inLane(this.#root, () =>
      access(this.#root, constants.W_OK).then(
        () => this.#probe(),
        () => false,
      ),
    );
  }

  /** Root passes every permission check: only a write tells that a file system takes one. */
  async #probe(): Promise<boolean> {
    const path = join(this.#root, `.probe-${randomBytes(4).toString('hex')}`);
    try {
      await (await open(path, 'wx')).close();
      return true;
    } catch (thrown) {
      // A full disk is a writable one: the fault of the write itself says more.
      return errnoOf(thrown) === 'ENOSPC';
    } finally {
      await rm(path, { force: true }).catch(() => undefined);
    }
  }

  async freeBytes(): Promise<number | undefined> {
    const { bavail, bsize } = await inLane(this.#root, () => statfs(this.#root)).catch((thrown: unknown) => {
      throw storageFault('look at', this.#root, thrown);
    });
    return bavail * bsize;
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const upload = await this.upload();
    try {
      await upload.write(0, bytes);
      await upload.commit(key);
    } catch (thrown) {
      await upload.abort();
      throw thrown;
    }
  }

  async upload(): Promise<Upload> {
    const path = join(this.#workshop, randomBytes(8).toString('hex'));
    try {
      return await inLane(this.#root, async () => {
        await mkdir(this.#workshop, { recursive: true });
        return new DirectoryUpload(this.#place, path, await open(path, 'wx', 0o640));
      });
    } catch (thrown) {
      const fault = storageFault('write to', path, thrown);
      throw fault.code === 'OBJECT_MISSING'
        ? new Fault('STORAGE_FAILED', fault.message, { cause: thrown })
        : fault;
    }
  }

  async get(key: string, limitBytes: number): Promise<Buffer> {
    const path = join(this.#root, key);
    try {
      const { size } = await inLane(this.#root, () => stat(path));
      if (size > limitBytes)
        throw new Fault('STORAGE_FAILED', `Cannot read "${path}": it is larger than ${limitBytes} bytes`);
      const bytes = Buffer.alloc(size);
      await this.read(key, 0, bytes);
      return bytes;
    } catch (thrown) {
      throw storageFault('read', path, thrown);
    }
  }

  async read(key: string, position: number, output: Uint8Array): Promise<void> {
    const path = join(this.#root, key);
    try {
      await this.#files.read(path, position, output);
    } catch (thrown) {
      throw storageFault('read', path, thrown);
    }
  }

  async withFile(key: string, use: (fd: number, local: boolean) => Promise<void>): Promise<void> {
    const path = join(this.#root, key);
    try {
      await this.#files.use(path, (file) => use(file.fd, this.#place.local));
    } catch (thrown) {
      throw storageFault('read', path, thrown);
    }
  }

  async size(key: string): Promise<number | undefined> {
    try {
      return (await inLane(this.#root, () => stat(join(this.#root, key)))).size;
    } catch (thrown) {
      const fault = storageFault('look at', join(this.#root, key), thrown);
      if (fault.code === 'OBJECT_MISSING') return undefined;
      throw fault;
    }
  }

  async *list(prefix: string): AsyncIterable<string> {
    const path = join(this.#root, prefix);
    let folder: Awaited<ReturnType<typeof opendir>>;
    try {
      folder = await inLane(this.#root, () => opendir(path));
    } catch (thrown) {
      if (errnoOf(thrown) === 'ENOENT') return;
      throw storageFault('list', path, thrown);
    }
    try {
      for (;;) {
        const entry = await inLane(this.#root, () => folder.read());
        if (entry === null) return;
        const key = `${prefix}${entry.name}`;
        if (entry.isDirectory()) yield* this.list(`${key}/`);
        else if (entry.isFile()) yield key;
      }
    } catch (thrown) {
      throw storageFault('list', path, thrown);
    } finally {
      await folder.close();
    }
  }

  async remove(key: string): Promise<void> {
    const path = join(this.#root, key);
    this.#files.forget(path);
    try {
      await inLane(this.#root, async () => {
        await removeFile(path);
        await syncFolder(dirname(path));
      });
    } catch (thrown) {
      const fault = storageFault('remove', path, thrown);
      if (fault.code !== 'OBJECT_MISSING') throw fault;
    }
  }

  async close(): Promise<void> {
    this.#files.clear();
    await inLane(this.#root, () => rm(this.#workshop, { recursive: true, force: true })).catch(
      () => undefined,
    );
  }
}

/** True where the folder exists and holds nothing. */
export const isEmptyFolder = async (path: string): Promise<boolean> =>
  readdir(path).then(
    (names) => names.length === 0,
    () => false,
  );
