/** Collects sealed blocks into packs, shared by all backups of this daemon.
 *
 *    append ─▶ stage of the open pack ─(full, or flush)▶ closing: directory, trailer, commit, index ─▶ durable
 *
 *  Promises: after `flush` resolves everything appended before is durable and in the index (W1); a pack that can't be stored
 *  ends its claims, so that the blocks count as new again, and is counted, so that every backup that was under way can fail.
 *  Holds its stage, and at most `closingMax` + 1 packs' directories (about 400 KiB each). Knows nothing of backups. */

import { assert } from '../../base/assert.ts';
import { Fault } from '../../base/faults.ts';
import { packBlocksMax, packPayloadBytes, segmentBlocksMax } from '../../base/limits.ts';
import { entryBytes } from '../../format/block-layouts.ts';
import { packKey } from '../../format/layout.ts';
import { packHeader, packHeaderBytes, packTrailer } from '../../format/pack.ts';
import { Pool } from '../../memory/pool.ts';
import type { Upload } from '../../storage/storage.ts';
import { throwIndexFault } from './index-fault.ts';
import { PackStage } from './pack-stage.ts';
import type { NativeParts } from './parts.ts';

/** Packs that may be on their way to durable storage before `append` waits. */
const closingMax = 2;
/** Room for the blocks of the segment that fills the pack. */
const directoryEntriesMax = packBlocksMax + segmentBlocksMax;

interface OpenPack {
  readonly upload: Promise<Upload>;
  readonly stage: PackStage;
  readonly directory: Buffer;
  count: number;
  position: number;
}

/** Work that seals: `claims` is the byte of the native call that says whether it may have claimed anything yet. */
interface Claiming {
  readonly claims: Uint8Array;
  readonly settled: Promise<void>;
}

export class PackWriter {
  readonly #parts: NativeParts;
  readonly #memory: Pool;
  #open: OpenPack | undefined;
  readonly #closing = new Set<Promise<void>>();
  readonly #claiming = new Set<Claiming>();
  #failures = 0;
  #isClosed = false;
  #lastFailure: unknown;

  /** `memory`: for `stageBuffers` buffers. */
  constructor(parts: NativeParts, memory: Uint8Array) {
    this.#parts = parts;
    this.#memory = new Pool(memory);
  }

  /** Counts packs that could not be stored; a backup compares it with what it was when the backup began. */
  get failures(): number {
    return this.#failures;
  }

  get lastFailure(): unknown {
    return this.#lastFailure;
  }

  /** Takes blocks over. `entries` say where in `payload` each one is. Both may be used again when it resolves; whether they could be
   *  stored is told by `failures`. */
  async append(payload: Uint8Array, entries: Uint8Array): Promise<void> {
    while (this.#closing.size > closingMax) await Promise.race(this.#closing);
    // Its source may have answered when nobody waited for it any more, and the memory may be somebody else's.
    if (this.#isClosed)
      throw new Fault('CANCELLED', `Cannot store in "${this.#parts.storage.url}": it was closed`);
    const pack = (this.#open ??= this.#begin());
    addEntries(pack, entries);
    pack.position += payload.length;
    const taken = pack.stage.add(payload);
    if (pack.position >= packPayloadBytes || pack.count >= packBlocksMax) this.#close(pack);
    await taken;
  }

  /** Runs work that may claim blocks and then appends them. From its first claim on, another backup may count those blocks
   *  as known: `flush` waits for such work. It does not wait for work that still reads its source: nobody can have met a claim
   *  of it, and the source may never answer. */
  async claiming<T>(work: (claims: Uint8Array) => Promise<T>): Promise<T> {
    const claims = new Uint8Array(1);
    const running = work(claims);
    const settled = running.then(
      () => undefined,
      () => undefined,
    );
    const entry = { claims, settled };
    this.#claiming.add(entry);
    try {
      return await running;
    } finally {
      this.#claiming.delete(entry);
    }
  }

  /** Everything claimed or appended so far is durable when it resolves, unless `failures` has grown. */
  async flush(): Promise<void> {
    const begun = [...this.#claiming].filter(({ claims }) => claims[0] !== 0);
    await Promise.all(begun.map(({ settled }) => settled));
    if (this.#open !== undefined) this.#close(this.#open);
    await Promise.all(this.#closing);
  }

  /** From now on nothing is taken over, and no claim is worth anything. Resolves when all work that was under way has ended, which a
   *  source that does not answer may keep from happening. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#claiming].map(({ settled }) => settled));
  }

  #begin(): OpenPack {
    const upload = this.#parts.storage.upload();
    const write = async (position: number, bytes: Uint8Array) => (await upload).write(position, bytes);
    const pack: OpenPack = {
      upload,
      // After a failed write the pack takes no more blocks.
      stage: new PackStage(this.#memory, write, () => {
        if (this.#open === pack) this.#close(pack);
      }),
      directory: Buffer.alloc(directoryEntriesMax * entryBytes),
      count: 0,
      position: packHeaderBytes,
    };
    // Told by the first write that waits for it.
    upload.catch(() => undefined);
    void pack.stage.add(packHeader());
    return pack;
  }

  #close(pack: OpenPack): void {
    if (this.#open === pack) this.#open = undefined;
    const closing = this.#store(pack).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** Never rejects: a failure is counted, and told to those whom it concerns. */
  async #store(pack: OpenPack): Promise<void> {
    const directory = pack.directory.subarray(0, pack.count * entryBytes);
    try {
      const digest = this.#parts.hash(directory);
      void pack.stage.add(directory);
      void pack.stage.add(packTrailer(digest, pack.count, pack.position));
      await pack.stage.end();
      const upload = await pack.upload;
      await upload.commit(packKey(digest.toString('hex')));
      await this.#parts.index.addPack(digest, directory, true).catch(throwIndexFault);
    } catch (thrown) {
      this.#failures += 1;
      this.#lastFailure = thrown;
      this.#parts.index.release(directory);
      await pack.stage.end().catch(() => undefined);
      await pack.upload.then((upload) => upload.abort()).catch(() => undefined);
    }
  }
}

/** Adds entries of blocks that come next to a pack's directory, with offsets counted from the start of the pack. */
function addEntries(pack: OpenPack, entries: Uint8Array): void {
  const start = pack.count * entryBytes;
  assert(start + entries.length <= pack.directory.length, 'a directory has room for the segments under way');
  pack.directory.set(entries, start);
  for (let at = start; at < start + entries.length; at += entryBytes) {
    pack.directory.writeUInt32LE(pack.directory.readUInt32LE(at + 32) + pack.position, at + 32);
  }
  pack.count += entries.length / entryBytes;
}
