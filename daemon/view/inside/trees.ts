/** File systems inside images for the mount: starts the reader of each when the kernel asks for it, and tells the session when it can be
 *  asked.
 *
 *    onTree ▷ room in the pool ▷ process ▷ attachTree ▷ first answer ▷ serveTree, or failTree
 *
 *  Promises: one reader for each file system, however many ask; a reader that ends or hangs is started again when the next one asks;
 *  what is no file system is remembered and not tried again. Knows nothing of names and files: the session asks for them itself. */

import type { ChildProcess } from 'node:child_process';
import { close } from 'node:fs';
import { constants } from 'node:os';
import type { FuseSession, Native, WindowSource } from '../../../native/native.ts';
import { readerTimeoutMs } from '../../base/limits.ts';
import type { PoolMember, ReaderPool } from '../browse/pool.ts';
import { startReader } from '../browse/process.ts';
import { failed, ReaderRefusal } from '../browse/reader.ts';
import { decodeDescription, type FileSystemDescription } from '../browse/wire.ts';

const { EIO, ENOTSUP } = constants.errno;

/** Where the bytes of a file system are, for its reader and for the session. */
export interface TreeVolume {
  readonly imagePath: string;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly source: WindowSource;
  readonly generation: number;
}

export interface FileTreesParts {
  readonly native: Pick<Native, 'socketPair'>;
  readonly session: () => Pick<
    FuseSession,
    'attachTree' | 'serveTree' | 'failTree' | 'detachTree' | 'treeIdleMs'
  >;
  readonly pool: ReaderPool;
  readonly program: string;
  /** By the node of its root. */
  readonly volumeOf: (node: number) => Promise<TreeVolume>;
}

interface Running extends PoolMember {
  readonly serial: number;
  readonly served: Promise<FileSystemDescription>;
  tell: (errno: number, body: Buffer) => void;
  child: ChildProcess | undefined;
  open: boolean;
}

export class FileTrees {
  readonly #parts: FileTreesParts;
  readonly #running = new Map<number, Running>();
  readonly #known = new Map<number, FileSystemDescription | ReaderRefusal>();
  readonly #children = new Set<ChildProcess>();
  #nextSerial = 1;
  #closed = false;

  constructor(parts: FileTreesParts) {
    this.#parts = parts;
  }

  /** What is known of a file system: of a refusal, that there is none. */
  known(node: number): FileSystemDescription | ReaderRefusal | undefined {
    return this.#known.get(node);
  }

  /** Resolves when it can be asked, or could be at some time. ReaderRefusal, READER_FAILED, TOO_MANY, and what reading the image can
   *  end with. */
  async open(node: number): Promise<FileSystemDescription> {
    const known = this.#known.get(node);
    if (known instanceof ReaderRefusal) throw known;
    return known ?? (await this.#start(node));
  }

  /** The session asks for it. */
  async wanted(node: number): Promise<void> {
    try {
      await this.#start(node);
    } catch {
      if (!this.#closed) this.#parts.session().failTree(node, EIO);
    }
  }

  answered(node: number, serial: number, errno: number, body: Buffer): void {
    const running = this.#running.get(node);
    if (running?.serial === serial) running.tell(errno, body);
  }

  ended(node: number, serial: number): void {
    const running = this.#running.get(node);
    if (running?.serial !== serial) return;
    running.tell(EIO, Buffer.alloc(0));
    this.#leave(node, running);
    running.child?.kill('SIGKILL');
  }

  drop(node: number): void {
    this.#running.get(node)?.end();
    this.#known.delete(node);
  }

  close(): void {
    this.#closed = true;
    for (const running of this.#running.values()) running.end();
    for (const child of this.#children) child.kill('SIGKILL');
  }

  #start(node: number): Promise<FileSystemDescription> {
    const held = this.#running.get(node);
    if (held !== undefined) return held.served;
    const serial = this.#nextSerial++;
    let tell: Running['tell'] = () => undefined;
    const first = new Promise<FileSystemDescription>((resolve, reject) => {
      tell = (errno, body) => {
        try {
          if (errno === 0) resolve(decodeDescription(body));
          else reject(new ReaderRefusal(errno, body.toString('utf8').slice(0, 200)));
        } catch (thrown) {
          reject(thrown);
        }
      };
    });
    first.catch(() => undefined);
    const running: Running = {
      serial,
      served: Promise.resolve().then(() => this.#serve(node, running, first)),
      tell,
      child: undefined,
      open: false,
      idleMs: () => (running.open ? this.#parts.session().treeIdleMs(node) : 0),
      end: () => this.#end(node, running),
    };
    this.#running.set(node, running);
    return running.served;
  }

  async #serve(
    node: number,
    running: Running,
    first: Promise<FileSystemDescription>,
  ): Promise<FileSystemDescription> {
    const { pool, volumeOf, session } = this.#parts;
    try {
      const volume = await volumeOf(node);
      await pool.enterWhenFree(running);
      if (this.#running.get(node) !== running) throw failed('it is not wanted any more');
      running.child = this.#startReader(node, running, volume);
      const description = await first;
      // What was dropped meanwhile is not remembered: its number may be given to another file system.
      if (this.#running.get(node) !== running) throw failed('it is not wanted any more');
      const { source, generation } = volume;
      session().serveTree(node, running.serial, { root: description.root, generation, source });
      running.open = true;
      this.#known.set(node, description);
      return description;
    } catch (thrown) {
      if (thrown instanceof ReaderRefusal && thrown.errno === ENOTSUP) this.#known.set(node, thrown);
      this.#end(node, running);
      throw thrown;
    }
  }

  #startReader(node: number, running: Running, volume: TreeVolume): ChildProcess {
    const { native, program, session } = this.#parts;
    const sockets = native.socketPair();
    let child: ChildProcess;
    try {
      child = startReader({ ...volume, program }, sockets.theirs);
    } catch (thrown) {
      close(sockets.ours);
      throw thrown;
    } finally {
      close(sockets.theirs);
    }
    this.#children.add(child);
    child.on('exit', () => this.#children.delete(child));
    child.on('error', () => this.ended(node, running.serial));
    session().attachTree(node, running.serial, sockets.ours);
    return child;
  }

  /** It ends when it has answered what it was asked; at the latest when an answer is overdue. */
  #end(node: number, running: Running): void {
    running.tell(EIO, Buffer.alloc(0));
    const isCurrent = this.#running.get(node) === running;
    this.#leave(node, running);
    if (isCurrent && !this.#closed) this.#parts.session().detachTree(node);
    const { child } = running;
    if (child === undefined) return;
    const timer = setTimeout(() => child.kill('SIGKILL'), readerTimeoutMs).unref();
    child.once('exit', () => clearTimeout(timer));
  }

  #leave(node: number, running: Running): void {
    if (this.#running.get(node) === running) this.#running.delete(node);
    this.#parts.pool.leave(running);
  }
}
