/** What a repository needs of an object store: few functions, with the contract in their comments.
 *  A wrapper (retry, limit, meter) is a storage itself. Promises: a key that was acknowledged outlives a power cut;
 *  a part of an object is never seen under its key. Knows nothing of what the bytes mean. */

/** An object that grows until it gets its key. Nothing can be read from it before `commit` resolves. */
export interface Upload {
  /** Keeps `bytes` at `position`. Several may be under way; `bytes` may be used again when it resolves. */
  write(position: number, bytes: Uint8Array): Promise<void>;
  /** Ends the object with key `key`; when it resolves the object is durable and visible. Rejected: as if `abort`. */
  commit(key: string): Promise<void>;
  /** Leaves nothing behind. May be called more than once. */
  abort(): Promise<void>;
}

/** Faults: OBJECT_MISSING (no such key), STORAGE_FULL, STORAGE_FAILED, REPOSITORY_READ_ONLY. */
export interface Storage {
  /** For people, without secrets. */
  readonly url: string;
  /** Asks whether this store can be written to now. */
  writable(): Promise<boolean>;
  /** Bytes that are free, or undefined where the store does not say. */
  freeBytes(): Promise<number | undefined>;
  /** Keeps a small object whole. When it resolves the bytes outlive a power cut. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  upload(): Promise<Upload>;
  /** A small object whole; more than `limitBytes` is a fault (STORAGE_FAILED), never an allocation. */
  get(key: string, limitBytes: number): Promise<Buffer>;
  /** Fills `output` with the bytes at `position`. OBJECT_MISSING too where the object ends before. */
  read(key: string, position: number, output: Uint8Array): Promise<void>;
  /** Runs `use` with a descriptor of the object, which is open until that resolves. `local`: it lies on a disk of this machine, where it can
   *  be read past the page cache. Absent where objects are no files. */
  withFile?(key: string, use: (fd: number, local: boolean) => Promise<void>): Promise<void>;
  /** Size in bytes, or undefined where there is no such object. */
  size(key: string): Promise<number | undefined>;
  /** Keys that begin with `prefix` (a folder name and "/"), in no promised order. */
  list(prefix: string): AsyncIterable<string>;
  /** Removing what is not there is no fault. */
  remove(key: string): Promise<void>;
  close(): Promise<void>;
}
