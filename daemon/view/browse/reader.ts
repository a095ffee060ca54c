/** One process that reads the file system in an image: `basalt-reader`, which has given up all rights but to read what it was
 *  handed. Promises: what it does wrong, be it a crash, a hang or nonsense, is a fault of this reader and of nobody else; after
 *  `close` it is gone. Knows nothing of backups and paths. */

import type { ChildProcess } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { Fault } from '../../base/faults.ts';
import { readerTimeoutMs } from '../../base/limits.ts';
import { type ReaderParts, startReader } from './process.ts';
import {
  AnswerStream,
  decodeDescription,
  encodeRequest,
  type FileSystemDescription,
  type ReaderAnswer,
  type ReaderRequest,
} from './wire.ts';

/** What a reader could not do, as errno and in words. */
export class ReaderRefusal extends Error {
  readonly errno: number;

  constructor(errno: number, why: string) {
    super(why);
    this.errno = errno;
  }
}

interface Pending {
  readonly resolve: (body: Buffer) => void;
  readonly reject: (thrown: unknown) => void;
  readonly timer: NodeJS.Timeout;
}

export class Reader {
  readonly #child: ChildProcess;
  readonly #socket: Duplex;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #failure: Fault | undefined;
  #description: FileSystemDescription | undefined;

  private constructor(child: ChildProcess, socket: Duplex) {
    this.#child = child;
    this.#socket = socket;
    const stream = new AnswerStream();
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const answer of stream.push(chunk)) this.#settle(answer);
      } catch (thrown) {
        this.#fail(thrown instanceof Fault ? thrown : failed('it sent nonsense', thrown));
      }
    });
    socket.on('error', (thrown) => this.#fail(failed('its socket broke', thrown)));
    child.on('error', (thrown) => this.#fail(failed('it cannot be started', thrown)));
    child.on('exit', (code, signal) => this.#fail(failed(`it ended with ${signal ?? `status ${code}`}`)));
  }

  /** Starts a reader; resolves when it knows the file system. Throws ReaderRefusal (ENOTSUP: none that it knows), READER_FAILED. */
  static async open(parts: ReaderParts): Promise<Reader> {
    const child = startReader(parts, 'pipe');
    const reader = new Reader(child, child.stdio[3] as Duplex);
    // The first answer comes by itself, under id 0.
    const description = await new Promise<Buffer>((resolve, reject) => reader.#expect(0, resolve, reject));
    reader.#description = decodeDescription(description);
    return reader;
  }

  get description(): FileSystemDescription {
    if (this.#description === undefined) throw failed('it has not told what it reads');
    return this.#description;
  }

  /** True where it can't be used any more. */
  get ended(): boolean {
    return this.#failure !== undefined;
  }

  /** Asks, and waits for the answer. Throws ReaderRefusal, READER_FAILED. */
  call(request: ReaderRequest): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      const id = this.#nextId;
      this.#nextId = (this.#nextId % 0xffff_ffff) + 1;
      this.#expect(id, resolve, reject);
      this.#socket.write(encodeRequest(id, request));
    });
  }

  close(): void {
    this.#fail(failed('it was closed'));
  }

  #expect(id: number, resolve: (body: Buffer) => void, reject: (thrown: unknown) => void): void {
    const timer = setTimeout(
      () => this.#fail(failed(`it has not answered for ${readerTimeoutMs / 1000} seconds`)),
      readerTimeoutMs,
    );
    this.#pending.set(id, { resolve, reject, timer });
  }

  #settle({ id, errno, body }: ReaderAnswer): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) throw failed('it answered what nobody asked');
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if (errno === 0) pending.resolve(body);
    else pending.reject(new ReaderRefusal(errno, body.toString('utf8').slice(0, 200)));
  }

  /** Whatever failed first is what everybody who waits learns. */
  #fail(fault: Fault): void {
    this.#failure ??= fault;
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(this.#failure);
    }
    this.#pending.clear();
    this.#child.kill('SIGKILL');
    this.#socket.destroy();
  }
}

export const failed = (why: string, cause?: unknown): Fault =>
  new Fault('READER_FAILED', `Cannot read the file system of the backup: ${why}`, { cause });
