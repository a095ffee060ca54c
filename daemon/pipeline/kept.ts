/** An incremental copy that reads only what is said to have changed, and keeps the rest as the parent has it.
 *    runs ─read▶ segments            runs ─keep▶ writer.keep ─not stored▶ segments
 *                                                    └─ kept ▶ sample ─(all is copied)▶ compared with the source
 *  Promises: a backup is only made of what was kept where the whole sample agrees. Knows nothing of who gave the hints. */

import type { Native } from '../../native/native.ts';
import { digestBytes } from '../base/bytes.ts';
import { Fault } from '../base/faults.ts';
import type { ChangedExtents } from '../devices/changed-extents.ts';
import type { Source } from '../devices/device.ts';
import { sourceReadFault } from '../devices/faults.ts';
import type { BackupManifest, Manifest } from '../format/manifest.ts';
import type { BackupWriter, KeptPiece } from '../repository/repository.ts';
import { keepableBytes, runsOf } from './changes.ts';
import type { Descriptors } from './direct.ts';
import { type CopyParts, type Slot, throwIfCancelled } from './parts.ts';
import { takeAll } from './rate.ts';
import { Sample, type SampledBlock } from './sample.ts';
import type { Window } from './window.ts';

export interface Hints {
  readonly parent: BackupManifest & Pick<Manifest, 'map'>;
  readonly changed: ChangedExtents;
  /** Told once, when it is known what came of them. */
  readonly onOutcome: (outcome: HintOutcome) => void;
}

export type HintUse = 'used' | NoUse;
/** Why they were not: "mismatch", "parent unreadable". */
export type NoUse = `${string}, read everything`;

export interface HintOutcome {
  readonly hints: HintUse;
  /** Bytes that were not read, because the parent has them. */
  readonly keptBytes: number;
  readonly comparedBlocks: number;
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

export class KeptRanges {
  readonly #hints: Hints;
  readonly #source: Source;
  /** Data and zeros apart, so that much of the one does not hide the other. */
  readonly #samples = { data: new Sample(), zeros: new Sample() };
  #keptBytes = 0;

  constructor(hints: Hints, source: Source) {
    this.#hints = hints;
    this.#source = source;
  }

  /** Keeps what can be kept, and gives, in order, the ranges that must be read. */
  async *plan(writer: BackupWriter, skipped: (bytes: number) => void): AsyncIterable<Range> {
    const { parent, changed } = this.#hints;
    const { sizeBytes } = this.#source;
    const sizes = { sizeBytes, parentBytes: parent.volume.size_bytes, blockBytes: parent.map.block_bytes };
    for await (const run of runsOf(changed.ranges(), sizes)) {
      if (!run.keep || writer.keep === undefined) {
        yield run;
        continue;
      }
      for await (const piece of writer.keep(parent, run.offset, run.length)) {
        if (!piece.kept) yield piece;
        else {
          this.#offer(piece);
          this.#keptBytes += piece.length;
          skipped(piece.length);
        }
      }
    }
  }

  #offer({ offset, length, addresses }: KeptPiece): void {
    const { block_bytes: blockBytes } = this.#hints.parent.map;
    const at = (number: number) => offset + number * blockBytes;
    const count = Math.ceil(length / blockBytes);
    if (addresses === undefined) {
      this.#samples.zeros.offer(count, (number) => ({ offset: at(number), address: undefined }));
      return;
    }
    for (let number = 0; number < count; number += 1) {
      const address = addresses.subarray(number * digestBytes, (number + 1) * digestBytes);
      const kind = address.every((byte) => byte === 0) ? 'zeros' : 'data';
      this.#samples[kind].offer(1, () => ({ offset: at(number), address: address.slice() }));
    }
  }

  /** Compares the sample. False: the hints were wrong, nothing of what was kept can be trusted. */
  async confirm(
    parts: CopyParts & { readonly native: Pick<Native, 'addresses'>; readonly skipErrors: boolean },
    descriptors: Descriptors,
    window: Window<Slot>,
  ): Promise<boolean> {
    const sampled = [...this.#samples.data.blocks(), ...this.#samples.zeros.blocks()];
    let mismatch = false;
    for (const block of sampled) {
      if (mismatch) break;
      await takeAll(parts.rates, this.#hints.parent.map.block_bytes, parts.signal);
      throwIfCancelled(parts.signal);
      await window.begin(async ({ input }) => {
        const same = await this.#isSame(parts.native, descriptors, block, input).catch((thrown: unknown) => {
          // What can't be compared is read with the rest, around what can't be read.
          if (!parts.skipErrors || !(thrown instanceof Fault)) throw thrown;
          return false;
        });
        mismatch ||= !same;
      });
    }
    await window.drain();
    const used = { hints: 'used', keptBytes: this.#keptBytes, comparedBlocks: sampled.length } as const;
    const wrong = { ...used, hints: 'mismatch, read everything', keptBytes: 0 } as const;
    this.#hints.onOutcome(mismatch ? wrong : used);
    return !mismatch;
  }

  async #isSame(
    native: Pick<Native, 'addresses'>,
    descriptors: Descriptors,
    { offset, address }: SampledBlock,
    input: Uint8Array,
  ): Promise<boolean> {
    const { parent } = this.#hints;
    const blockBytes = parent.map.block_bytes;
    const end = keepableBytes(this.#source.sizeBytes, parent.volume.size_bytes, blockBytes);
    const found = new Uint8Array(digestBytes);
    const length = Math.min(blockBytes, end - offset);
    const place = { ...descriptors, position: offset, length, blockBytes, input, addresses: found };
    await native.addresses(place).catch((thrown: unknown) => {
      throw sourceReadFault(this.#source.url, thrown);
    });
    return Buffer.compare(found, address ?? new Uint8Array(digestBytes)) === 0;
  }
}
