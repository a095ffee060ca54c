/** The readers that answer by paths: one for each file system that somebody looks into, for as long as somebody does.
 *  Promises: one that failed is not used again; after `close` none runs. Knows nothing of what is asked of them. */

import type { InnerVolume } from '../inside/volumes.ts';
import { chooseVolume } from './choose.ts';
import type { PoolMember, ReaderPool } from './pool.ts';
import { Reader } from './reader.ts';

interface Held extends PoolMember {
  readonly backupId: string;
  readonly reader: Promise<Reader>;
  /** Set when `reader` has resolved. */
  running: Reader | undefined;
  users: number;
  usedAtMs: number;
}

export interface ReadersParts {
  readonly program: string;
  readonly pool: ReaderPool;
  /** The volumes inside a backup. BACKUP_UNKNOWN, and what reading the image can end with. */
  readonly volumes: (backupId: string) => Promise<readonly InnerVolume[]>;
  /** Path of the file in the view that has the bytes of a volume from `offset` on. BACKUP_UNKNOWN. */
  readonly fileOf: (
    backupId: string,
    volume: InnerVolume,
  ) => { readonly imagePath: string; readonly offset: number };
  readonly nowMs: () => number;
}

export class Readers {
  readonly #parts: ReadersParts;
  readonly #held = new Map<string, Held>();

  constructor(parts: ReadersParts) {
    this.#parts = parts;
  }

  /** Lends the reader of a volume inside a backup (null: of the one that there is) to `use`. TOO_MANY where all are in use. */
  async with<T>(backupId: string, volume: string | null, use: (reader: Reader) => Promise<T>): Promise<T> {
    const key = `${backupId}/${volume ?? ''}`;
    const held = this.#held.get(key) ?? this.#start(key, backupId, volume);
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
    for (const [key, held] of this.#held) this.#drop(key, held);
  }

  #start(key: string, backupId: string, volume: string | null): Held {
    const { pool, nowMs } = this.#parts;
    let start: (reader: Promise<Reader>) => void = () => undefined;
    const held: Held = {
      backupId,
      reader: new Promise((resolve) => {
        start = resolve;
      }),
      running: undefined,
      users: 0,
      usedAtMs: nowMs(),
      idleMs: () => (held.users > 0 ? 0 : Math.max(1, nowMs() - held.usedAtMs)),
      end: () => this.#drop(key, held),
    };
    pool.enter(held);
    start(this.#open(backupId, volume));
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

  async #open(backupId: string, wanted: string | null): Promise<Reader> {
    const { program, volumes, fileOf } = this.#parts;
    const volume = chooseVolume(await volumes(backupId), wanted);
    return Reader.open({ program, ...fileOf(backupId, volume), sizeBytes: volume.sizeBytes });
  }

  #drop(key: string, held: Held): void {
    if (this.#held.get(key) === held) this.#held.delete(key);
    this.#parts.pool.leave(held);
    held.running?.close();
  }
}
