/** One backup in the making: segments in, packs and map out, manifest last.
 *  Promises: W1 before W2: the manifest is written only when every block and page that it reaches is durable. What is given
 *  up leaves only unreferenced blocks. Knows nothing of devices beyond a file descriptor. */

import type { SealCounts } from '../../../native/native.ts';
import { assert } from '../../base/assert.ts';
import { digestBytes, hex, isZero } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';
import { fanout, manifestBytesMax, segmentBytes } from '../../base/limits.ts';
import { entryBytes } from '../../format/block-layouts.ts';
import { formatVersion, manifestKey, pageBytes } from '../../format/layout.ts';
import { type BackupManifest, type Manifest, parseManifest, sealManifest } from '../../format/manifest.ts';
import type { WriterState } from '../../format/writer-state.ts';
import type {
  BackupWriter,
  KeptPiece,
  ManifestFields,
  Recover,
  SealSource,
  WriteCounts,
} from '../repository.ts';
import { throwIndexFault } from './index-fault.ts';
import { MapBuilder } from './map-builder.ts';
import { type LeafPart, rootOf, walkLeaves } from './map-walker.ts';
import type { PackWriter } from './pack-writer.ts';
import type { PageCache } from './page-cache.ts';
import type { NativeParts } from './parts.ts';

interface SealOrder {
  readonly fd: number;
  readonly directFd: number;
  readonly position: number;
  readonly length: number;
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  readonly addresses: Uint8Array;
  readonly entries: Buffer;
  readonly blockBytes?: number;
}

export class NativeBackupWriter implements BackupWriter {
  readonly #parts: NativeParts;
  readonly #cache: PageCache;
  readonly #packs: PackWriter;
  readonly #failuresBefore: number;
  readonly #sizeBytes: number;
  readonly #blockBytes: number;
  readonly #map: MapBuilder;
  #readBytes = 0;
  #knownBytes = 0;
  #newBytes = 0;
  #storedBytes = 0;
  #sealedZeroBytes = 0;
  /** Bytes that segments covered; the rest of the volume is zeros that were not read. */
  #coveredBytes = 0;

  constructor(
    parts: NativeParts,
    cache: PageCache,
    packs: PackWriter,
    sizeBytes: number,
    from?: WriterState,
  ) {
    this.#parts = parts;
    this.#cache = cache;
    this.#packs = packs;
    this.#failuresBefore = packs.failures;
    this.#sizeBytes = sizeBytes;
    this.#blockBytes = parts.config.block_bytes;
    const sealPage = (page: Uint8Array) => this.#sealPage(page);
    this.#map = new MapBuilder(sizeBytes, this.#blockBytes, sealPage, from?.pages);
    if (from === undefined) return;
    assert(from.sizeBytes === sizeBytes && from.blockBytes === this.#blockBytes, 'the state is of this map');
    const { counts } = from;
    this.#readBytes = counts.readBytes;
    this.#knownBytes = counts.knownBytes;
    this.#newBytes = counts.newBytes;
    this.#storedBytes = counts.storedBytes;
    this.#sealedZeroBytes = counts.sealedZeroBytes;
    this.#coveredBytes = counts.coveredBytes;
  }

  async seal(
    { fd, directFd, recover }: SealSource,
    position: number,
    length: number,
    input: Uint8Array,
    output: Uint8Array,
  ): Promise<void> {
    assert(position % this.#blockBytes === 0, 'a segment begins with a block');
    assert((position % segmentBytes) + length <= segmentBytes, 'a segment is aligned');
    const blocks = Math.ceil(length / this.#blockBytes);
    const place = this.#map.place(position, blocks);
    try {
      const entries = Buffer.alloc(blocks * entryBytes);
      const { addresses } = place;
      const order = { fd, directFd, position, length, input, output, addresses, entries };
      const counts = await this.#seal(order, recover);
      this.#readBytes += length;
      this.#coveredBytes += length;
      // The last block of a volume may be shorter than a block: zeros behind the end are not counted.
      const padding = isZero(addresses.subarray(-digestBytes)) ? blocks * this.#blockBytes - length : 0;
      this.#sealedZeroBytes += counts.zeroBlocks * this.#blockBytes - padding;
      this.#knownBytes += counts.knownBlocks * this.#blockBytes;
      this.#newBytes += counts.newBlocks * this.#blockBytes;
    } finally {
      place.done();
    }
    await this.#map.keepUp();
  }

  async *keep(parent: BackupManifest, position: number, length: number): AsyncIterable<KeptPiece> {
    assert(position % this.#blockBytes === 0, 'only whole blocks are kept');
    for await (const part of walkLeaves(this.#cache, rootOf(parent), position, position + length)) {
      if (part.leaf !== undefined) yield* this.#keepLeaf(part, part.leaf);
      else yield { offset: part.offset, length: part.length, kept: part.damage === undefined };
      await this.#map.keepUp();
    }
  }

  /** A leaf that is the same as a whole is taken over by its own address, else block by block. */
  async *#keepLeaf(
    { offset, length }: LeafPart,
    { page, entries }: { readonly page: Uint8Array; readonly entries: Uint8Array },
  ): AsyncIterable<KeptPiece> {
    const blocks = Math.ceil(length / this.#blockBytes);
    const at = ((offset / this.#blockBytes) % fanout) * digestBytes;
    const addresses = entries.subarray(at, at + blocks * digestBytes);
    const held = new Uint8Array(blocks + 1);
    await this.#parts.index.holds(Buffer.concat([addresses, page]), held).catch(throwIndexFault);
    const reachesEnd = blocks === fanout || offset + length === this.#sizeBytes;
    // Behind the end of a volume that became smaller the leaf must be empty.
    const isWhole = at === 0 && reachesEnd && isZero(entries.subarray(addresses.length));
    if (isWhole && !held.includes(0)) {
      this.#map.placeLeaf(offset, page);
    } else {
      const place = this.#map.place(offset, blocks);
      for (let number = 0; number < blocks; number += 1) {
        const [from, to] = [number * digestBytes, (number + 1) * digestBytes];
        if (held[number] === 1) place.addresses.set(addresses.subarray(from, to), from);
      }
      place.done();
    }
    for (let first = 0; first < blocks; ) {
      const kept = held[first] === 1;
      let next = first + 1;
      while (next < blocks && (held[next] === 1) === kept) next += 1;
      const piece = {
        offset: offset + first * this.#blockBytes,
        length: Math.min(next * this.#blockBytes, length) - first * this.#blockBytes,
        kept,
        addresses: addresses.subarray(first * digestBytes, next * digestBytes),
      };
      if (kept) this.#countKept(piece);
      yield piece;
      first = next;
    }
  }

  #countKept({ length, addresses }: { readonly length: number; readonly addresses: Uint8Array }): void {
    for (let at = 0; at < addresses.length; at += digestBytes) {
      if (isZero(addresses.subarray(at, at + digestBytes))) continue;
      this.#knownBytes += this.#blockBytes;
      this.#coveredBytes += Math.min(this.#blockBytes, length - (at / digestBytes) * this.#blockBytes);
    }
  }

  counts(): WriteCounts {
    return {
      readBytes: this.#readBytes,
      zeroBytes: this.#sizeBytes - this.#coveredBytes + this.#sealedZeroBytes,
      knownBytes: this.#knownBytes,
      newBytes: this.#newBytes,
      storedBytes: this.#storedBytes,
    };
  }

  async checkpoint(): Promise<WriterState> {
    const pages = await this.#map.state();
    await this.#flush();
    const counts = {
      readBytes: this.#readBytes,
      knownBytes: this.#knownBytes,
      newBytes: this.#newBytes,
      storedBytes: this.#storedBytes,
      sealedZeroBytes: this.#sealedZeroBytes,
      coveredBytes: this.#coveredBytes,
    };
    return { sizeBytes: this.#sizeBytes, blockBytes: this.#blockBytes, pages, counts };
  }

  /** W1: everything sealed so far is durable. */
  async #flush(): Promise<void> {
    await this.#packs.flush();
    this.#throwIfLost();
  }

  /** A pack that could not be stored may have held blocks of this backup. */
  #throwIfLost(): void {
    if (this.#packs.failures !== this.#failuresBefore) throw this.#packs.lastFailure;
  }

  async finish(fields: ManifestFields, commit: () => void = () => undefined): Promise<Manifest> {
    const root = await this.#map.finish();
    await this.#flush(); // W1
    const counts = this.counts();
    const manifest: Manifest = {
      format: formatVersion,
      ...fields,
      map: { block_bytes: this.#blockBytes, height: this.#map.height, root: hex(root) },
      statistics: {
        read_bytes: counts.readBytes,
        zero_bytes: counts.zeroBytes,
        known_bytes: counts.knownBytes,
        new_bytes: counts.newBytes,
        stored_bytes: counts.storedBytes,
      },
    };
    const { storage, hash } = this.#parts;
    const sealed = sealManifest(manifest, hash);
    // What could not be read again must not be acknowledged.
    const read = sealed.length > manifestBytesMax ? 'it is too large' : parseManifest(sealed, hash);
    if (typeof read === 'string') {
      throw new Fault(
        'INVALID_ARGUMENT',
        `Cannot write the manifest of backup "${fields.backup.id}": ${read}`,
      );
    }
    commit();
    await storage.put(manifestKey(fields.backup.id), sealed); // W2
    return manifest;
  }

  /** Closes the open pack, so that what was stored is found again by the next try. */
  async abort(): Promise<void> {
    await this.#packs.flush();
  }

  /** Seals, and always stores what came out new: a claim must never outlive the call that made it. */
  async #seal(parts: SealOrder, recover?: Recover): Promise<SealCounts> {
    const level = this.#parts.compressionLevel;
    const { position, length, input } = parts;
    return this.#packs.claiming(async (claims) => {
      const order = { blockBytes: this.#blockBytes, level, claims, ...parts };
      const counts = await this.#parts.index
        .seal(order)
        .catch(async (thrown: unknown) => {
          // Nothing is claimed before all was read.
          if (recover === undefined || claims[0] !== 0) throw thrown;
          await recover(thrown, position, length, input);
          return this.#parts.index.seal({ ...order, fd: -1, directFd: -1 });
        })
        .catch(readFault);
      if (counts.newBlocks > 0) {
        const entries = parts.entries.subarray(0, counts.newBlocks * entryBytes);
        await this.#packs.append(parts.output.subarray(0, counts.storedBytes), entries);
        this.#storedBytes += counts.storedBytes;
        this.#throwIfLost();
      }
      return counts;
    });
  }

  async #sealPage(page: Uint8Array): Promise<Uint8Array> {
    const addresses = new Uint8Array(digestBytes);
    const entries = Buffer.alloc(entryBytes);
    const whole = {
      fd: -1,
      directFd: -1,
      position: 0,
      length: pageBytes,
      input: page,
      output: new Uint8Array(pageBytes),
    };
    await this.#seal({ ...whole, addresses, entries, blockBytes: pageBytes });
    return addresses;
  }
}

/** A source that ends early has its own code; other failures are told apart by who opened the source. */
function readFault(thrown: unknown): never {
  if (thrown instanceof Error && 'code' in thrown && thrown.code === 'SHORT_READ') {
    throw new Fault('SOURCE_CHANGED', 'Cannot read the source to its end: it became shorter', {
      cause: thrown,
    });
  }
  return throwIndexFault(thrown);
}
