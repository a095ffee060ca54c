/** A Cinder backup in the making: segments in, objects out, `_metadata` last.
 *
 *    segment ─▶ read ▷ SHA-256 (parallel) ─▶ turn: compare ▷ cut (in order) ─▶ objects: pack ▷ join ▷ write (parallel, joined in order)
 *
 *  Promises: nothing of it is seen in the repository before it is whole; a backup that can't be an incremental one says so with
 *  `FullBackupNeeded`. Holds a block, and what a few objects under way need, whatever the volume. Knows nothing of devices
 *  beyond a file descriptor. */

import type { Native } from '../../../native/native.ts';
import { assert } from '../../base/assert.ts';
import { roundUp } from '../../base/bytes.ts';
import { segmentBytes } from '../../base/limits.ts';
import { Turns } from '../../base/turns.ts';
import type { BackupManifest } from '../../format/manifest.ts';
import type { StagedFile, Staging } from '../../storage/staging.ts';
import {
  type BackupWriter,
  FullBackupNeeded,
  type ManifestFields,
  type SealSource,
  type WriteCounts,
} from '../repository.ts';
import { type Cutter, FullCutter, IncrementalCutter, type Run, type Step, sliceBytes } from './cut.ts';
import { objectText } from './documents.ts';
import { objectName, prefixOf } from './names.ts';
import { type Content, type ObjectEntry, type ObjectParts, ObjectWriter } from './object-writer.ts';
import { publish } from './publish.ts';
import { Comparison, hashBytes, type ParentHashes } from './runs.ts';
import type { CinderSettings } from './settings.ts';

export interface CinderWriterParts {
  readonly native: Pick<Native, 'hashChunks' | 'packChunk' | 'openChunkEncoder' | 'allocateArena'>;
  readonly staging: Staging;
  readonly settings: CinderSettings;
  readonly container: string;
  /** Undefined: a full backup. */
  readonly parent: ParentHashes | undefined;
}

/** Work on an object, in the order in which it goes there. */
interface Work {
  run(output: Uint8Array): Promise<void>;
  giveUp(thrown: unknown): void;
}

interface Segment {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export class CinderBackupWriter implements BackupWriter {
  readonly #parts: CinderWriterParts;
  readonly #sizeBytes: number;
  readonly #blockBytes: number;
  readonly #prefix: string;
  readonly #comparison: Comparison;
  readonly #cutter: Cutter;
  readonly #objectParts: ObjectParts;
  readonly #hashes: StagedFile;
  readonly #entries: StagedFile;
  /** Segments are compared and cut in the order in which they began; entries are written in the order of objects. */
  readonly #order = new Turns();
  readonly #closing = new Turns();
  readonly #open = new Set<ObjectWriter>();
  #object: ObjectWriter | undefined;
  #objectCount = 0;
  #entriesBytes = 0;
  /** The last block before the segment at hand that was not zero. */
  #held: Segment | undefined;
  /** Everything before has begun to be sealed. */
  #begun = 0;
  /** Everything before is cut. */
  #next = 0;
  #failure: { readonly thrown: unknown } | undefined;
  #storedBytes = 0;
  readonly #compressions = new Set<string>();

  private constructor(
    parts: CinderWriterParts,
    fields: ManifestFields,
    files: { readonly hashes: StagedFile; readonly entries: StagedFile },
  ) {
    const { settings, native, staging, parent } = parts;
    const { object_bytes: objectBytes, hash_block_bytes: blockBytes, compression } = settings;
    const { backup, volume } = fields;
    this.#parts = parts;
    this.#sizeBytes = volume.size_bytes;
    this.#blockBytes = blockBytes;
    this.#prefix = prefixOf({ volumeId: volume.id, backupId: backup.id, createdAt: backup.created_at });
    this.#comparison = new Comparison(parent, blockBytes, volume.size_bytes);
    this.#cutter =
      parent === undefined ? new FullCutter(objectBytes) : new IncrementalCutter(objectBytes, blockBytes);
    // Never written to: memory that nobody writes to takes no room.
    const zeros = new Uint8Array(native.allocateArena(segmentBytes));
    this.#objectParts = { native, staging, compression, zeros, zeroObjects: new Map() };
    this.#hashes = files.hashes;
    this.#entries = files.entries;
  }

  static async open(parts: CinderWriterParts, fields: ManifestFields): Promise<CinderBackupWriter> {
    const files = {
      hashes: await parts.staging.create('hashes'),
      entries: await parts.staging.create('entries'),
    };
    return new CinderBackupWriter(parts, fields, files);
  }

  async seal(
    { recover, ...source }: SealSource,
    position: number,
    length: number,
    input: Uint8Array,
    output: Uint8Array,
  ): Promise<void> {
    assert(position % this.#blockBytes === 0 && length <= segmentBytes, 'a segment is aligned');
    assert(position >= this.#begun, 'segments begin in ascending order');
    this.#begun = position + length;
    const turn = this.#order.take();
    const work: Work[] = [];
    try {
      const blocks = Math.ceil(length / this.#blockBytes);
      const [hashes, zeros] = [Buffer.alloc(blocks * hashBytes), new Uint8Array(blocks)];
      const { native } = this.#parts;
      const parts = { ...source, position, length, blockBytes: this.#blockBytes, input, hashes, zeros };
      await native.hashChunks(parts).catch(async (thrown: unknown) => {
        if (recover === undefined) throw thrown;
        await recover(thrown, position, length, input);
        await native.hashChunks({ ...parts, fd: -1, directFd: -1 });
      });
      await this.#hashes.write((position / this.#blockBytes) * hashBytes, hashes);
      await turn.ready;
      this.#throwFailure();
      await this.#cutHole(position, output);
      const runs = await this.#comparison.ofSegment(position, length, hashes, zeros);
      this.#issue(runs, { offset: position, bytes: input.subarray(0, length) }, work);
      this.#next = position + length;
    } catch (thrown) {
      this.#fail(thrown);
      for (const one of work) one.giveUp(thrown);
      throw thrown;
    } finally {
      turn.done();
    }
    await this.#run(work, output);
  }

  counts(): WriteCounts {
    return { ...this.#comparison.counts(), storedBytes: this.#storedBytes };
  }

  async finish(fields: ManifestFields, commit: () => void = () => undefined): Promise<BackupManifest> {
    await this.#order.settled();
    this.#throwFailure();
    const output = new Uint8Array(segmentBytes);
    await this.#cutHole(this.#sizeBytes, output);
    const work: Work[] = [];
    this.#issueSteps(this.#cutter.end(), undefined, work);
    await this.#run(work, output);
    await this.#closing.settled();
    this.#throwFailure();
    const { staging, container, settings, parent } = this.#parts;
    const counts = this.counts();
    const statistics = {
      read_bytes: counts.readBytes,
      zero_bytes: counts.zeroBytes,
      known_bytes: counts.knownBytes,
      new_bytes: counts.newBytes,
      stored_bytes: counts.storedBytes,
    };
    // What Cinder's names would promise could not be read without the parent.
    if (parent !== undefined && !(await parent.isThere())) throw new FullBackupNeeded(0);
    const ready = {
      ...fields,
      backup: {
        ...fields.backup,
        container,
        parent_id: parent === undefined ? null : fields.backup.parent_id,
      },
    };
    await publish({
      staging,
      container,
      prefix: this.#prefix,
      fields: ready,
      statistics,
      hashBlockBytes: settings.hash_block_bytes,
      entries: this.#entries,
      hashes: this.#hashes,
      objectCount: this.#objectCount,
      commit,
    });
    await this.#letGo();
    const chain = [ready.backup.id, ...(parent?.chain ?? [])];
    const cinder = { prefix: this.#prefix, chain, compressions: [...this.#compressions] };
    return { ...ready, statistics, object_count: this.#objectCount, cinder };
  }

  async abort(): Promise<void> {
    this.#fail(new Error('the backup was given up'));
    await this.#order.settled();
    await this.#letGo();
  }

  async #letGo(): Promise<void> {
    for (const object of this.#open) await object.abort();
    for (const file of [this.#hashes, this.#entries]) await file.close().catch(() => undefined);
    await this.#parts.parent?.close();
    await this.#parts.staging.close();
  }

  #fail(thrown: unknown): void {
    this.#failure ??= { thrown };
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.thrown;
  }

  /** What nobody sealed up to `end` is zeros. */
  async #cutHole(end: number, output: Uint8Array): Promise<void> {
    const work: Work[] = [];
    try {
      for await (const run of this.#comparison.ofHole(this.#next, end)) {
        for (const step of this.#cutter.add(run)) {
          this.#issueSteps([step], undefined, work);
          // One object after the other, each when all of it is known, so that a hole of any size waits for what it makes.
          if (step.kind === 'close') await this.#run(work.splice(0), output);
        }
      }
    } catch (thrown) {
      for (const one of work) one.giveUp(thrown);
      throw thrown;
    }
    this.#next = Math.max(this.#next, end);
    await this.#run(work, output);
  }

  #issue(runs: readonly Run[], segment: Segment, work: Work[]): void {
    for (const run of runs) this.#issueSteps(this.#cutter.add(run), segment, work);
    const last = runs.findLast(({ zero }) => !zero);
    if (last === undefined || this.#parts.parent === undefined) return;
    const end = last.offset + last.length - segment.offset;
    const begin = roundUp(end, this.#blockBytes) - this.#blockBytes;
    // A copy: the segment's memory is somebody else's soon.
    this.#held = {
      offset: segment.offset + begin,
      bytes: new Uint8Array(segment.bytes.subarray(begin, end)),
    };
  }

  /** What the steps mean for objects, added to `work` in order. */
  #issueSteps(steps: Iterable<Step>, segment: Segment | undefined, work: Work[]): void {
    for (const step of steps) {
      switch (step.kind) {
        case 'open':
          this.#objectCount += 1;
          this.#object = new ObjectWriter(
            this.#objectParts,
            this.#objectCount,
            step.offset,
            this.#lengthMax(),
          );
          this.#open.add(this.#object);
          break;
        case 'data':
          work.push(this.#put(this.#bytesAt(step.offset, step.length, segment), step.length));
          break;
        case 'zeros':
          work.push(this.#put(step.length, step.length));
          break;
        case 'close':
          work.push(this.#close());
      }
    }
  }

  #lengthMax(): number {
    return this.#parts.settings.object_bytes + 2 * sliceBytes;
  }

  #bytesAt(offset: number, length: number, segment: Segment | undefined): Uint8Array {
    for (const place of [segment, this.#held]) {
      if (place === undefined || offset < place.offset) continue;
      const at = offset - place.offset;
      if (at + length <= place.bytes.length) return place.bytes.subarray(at, at + length);
    }
    throw new Error('the cutter asks for data that has gone');
  }

  #put(content: Content, length: number): Work {
    const object = this.#object;
    assert(object !== undefined, 'an object is open');
    const place = object.reserve(length);
    return {
      run: (output) => object.put(place, content, output),
      giveUp: (thrown) => object.giveUp(place, thrown),
    };
  }

  #close(): Work {
    const object = this.#object;
    assert(object !== undefined, 'an object is open');
    this.#object = undefined;
    const place = object.end();
    const turn = this.#closing.take();
    return {
      run: async (output) => {
        try {
          const entry = await object.close(place, output);
          this.#open.delete(object);
          await turn.ready;
          await this.#keepEntry(entry);
        } finally {
          turn.done();
        }
      },
      giveUp: (thrown) => {
        object.giveUp(place, thrown);
        turn.done();
      },
    };
  }

  async #keepEntry(entry: ObjectEntry): Promise<void> {
    const text = Buffer.from(objectText(objectName(this.#prefix, entry.number), entry, entry.number === 1));
    await this.#entries.write(this.#entriesBytes, text);
    this.#entriesBytes += text.length;
    this.#storedBytes += entry.storedBytes;
    this.#compressions.add(entry.compression);
  }

  /** One after the other: they share the output. After a failure nobody waits for what is left. */
  async #run(work: readonly Work[], output: Uint8Array): Promise<void> {
    for (const [number, one] of work.entries()) {
      try {
        this.#throwFailure();
        await one.run(output);
      } catch (thrown) {
        this.#fail(thrown);
        for (const left of work.slice(number)) left.giveUp(thrown);
        throw thrown;
      }
    }
  }
}
