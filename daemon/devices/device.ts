/** What a backup reads from and a restore writes to, whatever kind of device is behind it.
 *  Promises: a target is not touched before its size, kind and use were checked; a source is opened read-only.
 *  Knows nothing of repositories or jobs. */

/** A run of bytes that holds data, or is known to read as zeros. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly data: boolean;
}

/** `text`: the same at two moments means that nobody wrote between. */
export interface Evidence {
  readonly text: string;
  /** When something was written last, as far as is known: clocks of file systems tick slowly, so that evidence of a moment ago is
   *  not good. 0: it does not depend on a clock. */
  readonly changedAtMs: number;
}

export interface Source {
  /** The URL it was opened with, in full form (`file:///…`, `block:///dev/…`, `loop:///…`). */
  readonly url: string;
  readonly fd: number;
  readonly sizeBytes: number;
  /** Evidence kept in the backup record: how it was used when it was read. Empty: nobody used it. */
  readonly usedBy: readonly string[];
  /** All of the source, or of a range of it, in order and without gaps; holes are not read. Bounded memory. */
  extents(from?: number, to?: number): AsyncIterable<Extent>;
  /** Makes what was written durable, and says what shows that nobody writes from now on; undefined where nothing does. */
  evidence(): Promise<Evidence | undefined>;
  /** SOURCE_CHANGED if the size is not the one it was opened with. */
  checkUnchanged(): Promise<void>;
  close(): Promise<void>;
}

/** Lets writes through as long as what is written to was looked at shortly before. */
export interface WriteGate {
  /** The most that is asked for at a time. */
  readonly bytesMax: number;
  /** Resolves when so many bytes may be written; what it gives is called when they were, or have failed. */
  pass(bytes: number, signal: AbortSignal): Promise<() => void>;
}

export interface Target {
  readonly url: string;
  readonly fd: number;
  /** Size of the target now (a new file: the size asked for). */
  readonly sizeBytes: number;
  /** True where every byte is known to read as zero (a file made just now): zeros need no write. */
  readonly blank: boolean;
  /** The same text after a restart only for the same thing. */
  readonly identity: string;
  /** All writes go through it, where there is one. */
  readonly gate?: WriteGate;
  /** Makes everything written so far durable. */
  sync(): Promise<void>;
  /** Makes everything written durable, gives a new file its name, and closes. `before`: called before the name is given; what it
   *  throws is thrown on. */
  commit(before?: () => void): Promise<void>;
  /** Closes, and leaves a file in the making to be gone on with. */
  leave(): Promise<void>;
  /** Closes without the promise of durability; a file made by `openTarget` is removed again. */
  abort(): Promise<void>;
}

export interface OpenSourceOptions {
  /** Read it although something uses it. */
  readonly force: boolean;
  /** For messages: what people know it by, where that is not what is opened. */
  readonly calledBy?: string | undefined;
}

export interface OpenTargetOptions {
  /** Bytes the target must hold. A new file gets this size. */
  readonly sizeBytes: number;
  /** Permits writing over an existing file. A block device needs it too. Never overrides "in use". */
  readonly force: boolean;
  /** For messages: what people know it by, where that is not what is opened. */
  readonly calledBy?: string | undefined;
  /** Where a file that is being made lives until `commit`, so that a crash can be cleaned up; told before it is made. */
  readonly onTemporary?: (path: string) => Promise<void>;
}

/** What `describeDevice` can say of a URL without opening it for use. */
export interface DeviceDescription {
  readonly url: string;
  readonly kind: 'file' | 'block' | 'loop';
  readonly sizeBytes: number;
}
