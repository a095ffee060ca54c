/** What of a source can't be read: a segment that failed is read again, in ever smaller parts, down to single sectors.
 *    read of a segment fails ─▶ does the device answer elsewhere? ─▶ halves … sectors ─▶ ranges, zeros in their place
 *  Promises: a sector counts as unreadable only after it failed alone, twice; where nothing of the device can be read it is the
 *  device that failed, and no range of it is passed over. The ranges are in order, and so few that a manifest holds them.
 *  Knows nothing of what becomes of the bytes. */

import type { Native } from '../../native/native.ts';
import { digestBytes, roundUp } from '../base/bytes.ts';
import { errnoOf, Fault } from '../base/faults.ts';
import type { Source } from '../devices/device.ts';
import { whyOf } from '../devices/faults.ts';
import type { Evidence } from '../format/manifest.ts';
import type { ManifestFields } from '../repository/repository.ts';
import type { Descriptors } from './direct.ts';
import { throwIfCancelled } from './parts.ts';
import { Written } from './written.ts';

/** What the kernel calls a medium that is damaged at a place. Whatever else fails is no matter of sectors. */
const ofSectors: ReadonlySet<string> = new Set(['EIO', 'ENODATA', 'EREMOTEIO', 'EILSEQ', 'EBADMSG']);
/** Places that are tried, all at a time, to see whether the device is there at all. */
const probes = 8;
/** Where a source does not say how large its sectors are: it is a file, which the kernel reads by pages. */
const pageBytes = 4096;
const rangesShownMax = 3;

export interface UnreadableParts {
  readonly source: Source;
  readonly native: Pick<Native, 'addresses' | 'blockDevice'>;
  readonly descriptors: Descriptors;
  readonly signal: AbortSignal;
  /** True: what can't be read is taken as zeros, and told of in the manifest. */
  readonly skipErrors: boolean;
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

export class Unreadable {
  readonly #parts: UnreadableParts;
  readonly #found = new Written();
  #sectorBytes: Promise<number> | undefined;

  constructor(parts: UnreadableParts) {
    this.#parts = parts;
  }

  get isEmpty(): boolean {
    return this.#found.report().ranges.length === 0;
  }

  /** Fills `input` once more, with zeros where nothing can be read; throws where that is not wanted, or makes no sense. */
  readonly recover = async (
    failure: unknown,
    position: number,
    length: number,
    input: Uint8Array,
  ): Promise<void> => {
    if (!ofSectors.has(errnoOf(failure) ?? '')) throw failure;
    this.#sectorBytes ??= this.#askSectorBytes();
    const sectorBytes = await this.#sectorBytes;
    if (!(await this.#answers(sectorBytes, input))) throw failure;
    const lost = await this.#readParts({ offset: position, length }, input, sectorBytes);
    for (const range of lost) this.#found.add(range);
    if (lost.length > 0 && !this.#parts.skipErrors) throw this.#fault(failure);
  };

  /** What the manifest says. */
  mark(fields: ManifestFields): ManifestFields {
    if (this.isEmpty) return fields;
    const { ranges, total_bytes: bytes, exact } = this.#found.report();
    const unreadable = { ranges: [...ranges], bytes, exact };
    const evidence: Evidence = fields.evidence ?? { read_from: 'source', used_by: [], hooks: [] };
    const consistency = `incomplete: ${bytes} bytes could not be read; ${fields.consistency}`;
    return { ...fields, consistency, evidence: { ...evidence, unreadable } };
  }

  async #askSectorBytes(): Promise<number> {
    const { native, descriptors } = this.#parts;
    const device = await native.blockDevice(descriptors.fd).catch(() => undefined);
    return device?.sectorBytes ?? pageBytes;
  }

  /** Whether any of some places all over the device can be read. `scratch`: overwritten. */
  async #answers(sectorBytes: number, scratch: Uint8Array): Promise<boolean> {
    const { sizeBytes } = this.#parts.source;
    const sectors = Math.floor(sizeBytes / sectorBytes);
    const tries = Array.from({ length: probes }, async (_none, number) => {
      const offset = Math.floor(((number + 0.5) * sectors) / probes) * sectorBytes;
      const into = scratch.subarray(number * sectorBytes, (number + 1) * sectorBytes);
      return (await this.#read({ offset, length: sectorBytes }, into)) === undefined;
    });
    return (await Promise.all(tries)).includes(true);
  }

  /** The ranges that failed to their last sector. */
  async #readParts(whole: Range, input: Uint8Array, sectorBytes: number): Promise<Range[]> {
    const lost: Range[] = [];
    const open: Range[] = [whole];
    for (let part = open.pop(); part !== undefined; part = open.pop()) {
      throwIfCancelled(this.#parts.signal);
      const { offset, length } = part;
      const into = input.subarray(offset - whole.offset, offset - whole.offset + length);
      if ((await this.#read(part, into)) === undefined) continue;
      if (length > sectorBytes) {
        const half = roundUp(Math.ceil(length / 2), sectorBytes);
        open.push({ offset: offset + half, length: length - half }, { offset, length: half });
      } else if ((await this.#read(part, into)) !== undefined) {
        into.fill(0);
        lost.push(part);
      }
    }
    return lost;
  }

  /** The failure, where it is one of sectors. Past the page cache, so that a sector comes alone. */
  async #read({ offset, length }: Range, input: Uint8Array): Promise<unknown> {
    const { native, descriptors } = this.#parts;
    const { fd, directFd } = descriptors;
    const order = {
      position: offset,
      length,
      blockBytes: length,
      input,
      addresses: new Uint8Array(digestBytes),
    };
    try {
      if (directFd >= 0) {
        await native
          .addresses({ fd: directFd, directFd: -1, ...order })
          // The end of a file need not be that of a sector.
          .catch((thrown: unknown) => {
            if (errnoOf(thrown) !== 'EINVAL') throw thrown;
            return native.addresses({ fd, directFd: -1, ...order });
          });
      } else await native.addresses({ fd, directFd, ...order });
      return undefined;
    } catch (thrown) {
      if (!ofSectors.has(errnoOf(thrown) ?? '')) throw thrown;
      return thrown;
    }
  }

  #fault(failure: unknown): Fault {
    const { url } = this.#parts.source;
    const { ranges, total_bytes } = this.#found.report();
    const shown = ranges
      .slice(0, rangesShownMax)
      .map(({ offset, length }) => `${offset} to ${offset + length - 1}`);
    const more = ranges.length > shown.length ? ` and ${ranges.length - shown.length} more ranges` : '';
    const where = `bytes ${shown.join(', ')}${more}`;
    return new Fault('SOURCE_READ_FAILED', `Cannot read "${url}" at ${where}: ${whyOf(failure)}`, {
      cause: failure,
      details: { unreadable: ranges, unreadable_bytes: total_bytes },
      hint: 'See what the kernel log says of the device (dmesg). backup create --skip-errors reads around it, and marks the backup',
    });
  }
}
