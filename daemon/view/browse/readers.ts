/** The readers that are running: one for each file system that somebody looks into, for as long as somebody does.
 *  Promises: at most `readersMax` at a time; one that nobody has used for `readerIdleMs` ends; one that failed is not used
 *  again; after `close` none runs. Knows nothing of what is asked of them. */

import { Fault } from '../../base/faults.ts';
import { readerIdleMs, readersMax } from '../../base/limits.ts';
import { chooseVolume } from '../partitions.ts';
import { Reader } from './reader.ts';

interface Held {
  readonly backupId: string;
  readonly reader: Promise<Reader>;
  /** Set when `reader` has resolved. */
  running: Reader | undefined;
  users: number;
  usedAtMs: number;
}

/** Kinds of file systems that the reader knows, by blkid's words. */
const kinds: ReadonlySet<string> = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'vfat', 'exfat', 'ntfs']);

export interface ReadersParts {
  readonly program: string;
  /** The image of a backup in the view. BACKUP_UNKNOWN. */
  readonly imagePath: (backupId: string) => string;
  readonly nowMs: () => number;
}

export class Readers {
  readonly #parts: ReadersParts;
  readonly #held = new Map<string, Held>();
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  constructor(parts: ReadersParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.#endIdle(), readerIdleMs / 4).unref();
  }

  /** Lends the reader of a partition of a backup (null: of the one that there is) to `use`. TOO_MANY where all are in use. */
  async with<T>(backupId: string, partition: number | null, use: (reader: Reader) => Promise<T>): Promise<T> {
    const key = `${backupId}/${partition ?? ''}`;
    const held = this.#held.get(key) ?? this.#start(key, backupId, partition);
    held.users += 1;
    try {
      return await use(await held.reader);
    } finally {
      held.users -= 1;
      held.usedAtMs = this.#parts.nowMs();
      if (held.running === undefined || held.running.ended) this.#drop(key, held);
    }
  }

  /** The backup goes away: so do its readers, and who uses them learns it. */
  dropBackup(backupId: string): void {
    for (const [key, held] of this.#held) if (held.backupId === backupId) this.#drop(key, held);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const [key, held] of this.#held) this.#drop(key, held);
  }

  #start(key: string, backupId: string, partition: number | null): Held {
    if (this.#closed) throw new Fault('DAEMON_STOPPING', 'Cannot read files: the daemon is stopping');
    this.#makeRoom();
    const held: Held = {
      backupId,
      reader: this.#open(backupId, partition),
      running: undefined,
      users: 0,
      usedAtMs: this.#parts.nowMs(),
    };
    held.reader.then(
      (reader) => {
        held.running = reader;
        if (this.#held.get(key) !== held) reader.close();
      },
      () => undefined,
    );
    this.#held.set(key, held);
    return held;
  }

  async #open(backupId: string, partition: number | null): Promise<Reader> {
    const imagePath = this.#parts.imagePath(backupId);
    const volume = await chooseVolume(imagePath, partition, (kind) => kinds.has(kind));
    const { offset, sizeBytes } = volume;
    return Reader.open({ program: this.#parts.program, imagePath, offset, sizeBytes });
  }

  /** The one that nobody has used for longest makes room. */
  #makeRoom(): void {
    if (this.#held.size < readersMax) return;
    const idle = [...this.#held].filter(([, { users }]) => users === 0);
    idle.sort(([, a], [, b]) => a.usedAtMs - b.usedAtMs);
    const [oldest] = idle;
    if (oldest === undefined)
      throw new Fault('TOO_MANY', `Cannot read files: "${readersMax}" file systems are being read already`);
    this.#drop(...oldest);
  }

  #endIdle(): void {
    const before = this.#parts.nowMs() - readerIdleMs;
    for (const [key, held] of this.#held)
      if (held.users === 0 && held.usedAtMs < before) this.#drop(key, held);
  }

  #drop(key: string, held: Held): void {
    if (this.#held.get(key) === held) this.#held.delete(key);
    held.running?.close();
  }
}
