/** Reads blocks by address: look-up, ranges of packs, decompression, verification.
 *
 *    fetch: all in one native call, where packs are files ─(something is not right, or packs are no files)▶ step by step
 *
 *  Promises: every byte in the output was verified in this call; a block that can't be had is zeros and named, with the reason.
 *  Memory: what the caller lends, and a few hundred bytes a block. Knows nothing of maps or images. */

import { isZero } from '../../base/bytes.ts';
import { errnoOf, Fault } from '../../base/faults.ts';
import { decodeOrderBytes, locationBytes } from '../../format/block-layouts.ts';
import { packKey } from '../../format/layout.ts';
import { throwIndexFault } from './index-fault.ts';
import type { NativeParts } from './parts.ts';

export interface BadBlock {
  /** Position in the list of addresses. */
  readonly number: number;
  readonly reason: string;
}

interface Wanted {
  readonly number: number;
  readonly pack: number;
  readonly offset: number;
  readonly stored: number;
  readonly rawAndEncoding: number;
}

interface Run {
  readonly pack: number;
  readonly offset: number;
  length: number;
  readonly input: number;
  readonly blocks: { readonly wanted: Wanted; readonly input: number }[];
}

const notHeld = 'no pack holds the block';

/** Where blocks are wanted. */
export interface BlockOrder {
  /** 32 bytes a block; all zeros: a block of zeros. */
  readonly addresses: Uint8Array;
  readonly blockBytes: number;
  /** Receives the blocks, one behind the other. */
  readonly output: Uint8Array;
  /** As long as `output`. */
  readonly scratch: Uint8Array;
  /** They are read once, and in order: what is read for them need not stay in memory. */
  readonly inOrder: boolean;
}

/** Gives what could not be read; an empty list means that all is verified. */
export async function readBlocks(parts: NativeParts, order: BlockOrder): Promise<BadBlock[]> {
  return (await fetchBlocks(parts, order)) ? [] : readStepByStep(parts, order);
}

/** How long a pack is taken to be still what its name leads to; and how long what was lent for this very read, which may have waited
 *  for a slow storage in between. */
const firstTrustMs = 250;
const lentTrustMs = 8_000;
/** Packs that make room for each other while they are lent would go on like that. */
const lendingsMax = 3;

/** True where all was read in one call, and verified. */
async function fetchBlocks(parts: NativeParts, order: BlockOrder): Promise<boolean> {
  if (parts.storage.withFile === undefined) return false;
  const { inOrder: pastCache, ...blocks } = order;
  let trustMs = firstTrustMs;
  for (let lendings = 0; ; lendings += 1, trustMs = lentTrustMs) {
    const fetched = await parts.index.fetch({ ...blocks, pastCache, trustMs }).catch(throwIndexFault);
    if (typeof fetched === 'boolean') return fetched;
    if (lendings === lendingsMax) return false;
    const lent = await Promise.all(fetched.map((number) => lendPack(parts, number)));
    if (lent.includes(false)) return false;
  }
}

/** False where it can't be opened: why is told when it is tried step by step. */
async function lendPack({ index, storage }: NativeParts, number: number): Promise<boolean> {
  const name = index.packName(number);
  if (name === undefined) return false;
  let lent = false;
  const lend = async (fd: number, local: boolean) => {
    lent = await index.lend(number, fd, local);
  };
  await storage.withFile?.(packKey(name.toString('hex')), lend).catch(() => undefined);
  return lent;
}

async function readStepByStep(parts: NativeParts, order: BlockOrder): Promise<BadBlock[]> {
  const { addresses, blockBytes, output, scratch } = order;
  const bad: BadBlock[] = [];
  const wanted = locateBlocks(parts, addresses, blockBytes, output, bad);
  // Another host may have stored it since the packs were listed.
  const isUnknown = bad.some(({ reason }) => reason === notHeld);
  if (isUnknown && (await parts.findNewPacks?.()) === true) return readStepByStep(parts, order);
  if (wanted.length === 0) return bad;
  const runs = planRuns(wanted);
  const read = await allEnded(runs.map((run) => readRun(parts, run, scratch)));
  const blocks: { wanted: Wanted; input: number; pack: number }[] = [];
  runs.forEach((run, i) => {
    const reason = read[i];
    for (const block of run.blocks) {
      if (reason === undefined) blocks.push({ ...block, pack: run.pack });
      else {
        output.fill(0, block.wanted.number * blockBytes, (block.wanted.number + 1) * blockBytes);
        bad.push({ number: block.wanted.number, reason });
      }
    }
  });
  await decodeRuns(parts, addresses, blockBytes, blocks, output, scratch, bad);
  // The next backup that meets such a block stores it anew, and so mends what names it.
  if (bad.length > 0) {
    const suspects = bad.map(({ number }) => addresses.subarray(number * 32, number * 32 + 32));
    parts.index.suspect(Buffer.concat(suspects));
  }
  return bad.sort((a, b) => a.number - b.number);
}

/** Zeros are filled in here; what the index does not know, or knows with impossible numbers, is bad. */
function locateBlocks(
  parts: NativeParts,
  addresses: Uint8Array,
  blockBytes: number,
  output: Uint8Array,
  bad: BadBlock[],
): Wanted[] {
  const count = addresses.length / 32;
  const locations = Buffer.alloc(count * locationBytes);
  parts.index.locate(addresses, locations);
  const wanted: Wanted[] = [];
  for (let number = 0; number < count; number += 1) {
    const at = number * locationBytes;
    const rawAndEncoding = locations.readUInt32LE(at + 12);
    const stored = locations.readUInt32LE(at + 8);
    if (rawAndEncoding === 0) {
      output.fill(0, number * blockBytes, (number + 1) * blockBytes);
      if (!isZero(addresses.subarray(number * 32, number * 32 + 32))) {
        bad.push({ number, reason: notHeld });
      }
    } else if ((rawAndEncoding & 0xffffff) !== blockBytes || stored > blockBytes) {
      output.fill(0, number * blockBytes, (number + 1) * blockBytes);
      bad.push({ number, reason: 'the index has an impossible length for the block' });
    } else {
      wanted.push({
        number,
        pack: locations.readUInt32LE(at),
        offset: locations.readUInt32LE(at + 4),
        stored,
        rawAndEncoding,
      });
    }
  }
  return wanted;
}

/** Blocks that lie side by side in a pack are one read. */
function planRuns(wanted: Wanted[]): Run[] {
  wanted.sort((a, b) => a.pack - b.pack || a.offset - b.offset);
  const runs: Run[] = [];
  let input = 0;
  for (const block of wanted) {
    let run = runs.at(-1);
    if (run === undefined || run.pack !== block.pack || run.offset + run.length !== block.offset) {
      run = { pack: block.pack, offset: block.offset, length: 0, input, blocks: [] };
      runs.push(run);
    }
    run.blocks.push({ wanted: block, input });
    run.length += block.stored;
    input += block.stored;
  }
  return runs;
}

/** Waits for every read, also where one has failed: the memory they fill is lent, and goes back when this ends. */
async function allEnded<T>(reads: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(reads);
  return Promise.all(reads);
}

/** Why the run could not be read, or undefined. A storage that is down is a fault of the whole read, not of a block. */
async function readRun(parts: NativeParts, run: Run, scratch: Uint8Array): Promise<string | undefined> {
  const name = parts.index.packName(run.pack);
  if (name === undefined) return 'the index names a pack that it does not know';
  try {
    const bytes = scratch.subarray(run.input, run.input + run.length);
    await parts.storage.read(packKey(name.toString('hex')), run.offset, bytes);
    return undefined;
  } catch (thrown) {
    const reason = damageOf(thrown);
    if (reason === undefined) throw thrown;
    return `pack ${name.toString('hex')} ${reason}`;
  }
}

/** What a failed read of a pack says about its bytes; undefined where it only says that the storage is not at hand now. */
export function damageOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Fault)) return undefined;
  if (thrown.code === 'OBJECT_MISSING') return 'is missing or cut off';
  return errnoOf(thrown.cause) === 'EIO' ? `can't be read: ${thrown.message}` : undefined;
}

async function decodeRuns(
  parts: NativeParts,
  addresses: Uint8Array,
  blockBytes: number,
  blocks: { wanted: Wanted; input: number; pack: number }[],
  output: Uint8Array,
  scratch: Uint8Array,
  bad: BadBlock[],
): Promise<void> {
  const plan = Buffer.alloc(blocks.length * decodeOrderBytes);
  blocks.forEach(({ wanted, input }, i) => {
    const at = i * decodeOrderBytes;
    plan.set(addresses.subarray(wanted.number * 32, wanted.number * 32 + 32), at);
    plan.writeUInt32LE(input, at + 32);
    plan.writeUInt32LE(wanted.stored, at + 36);
    plan.writeUInt32LE(wanted.rawAndEncoding, at + 40);
    plan.writeUInt32LE(wanted.number * blockBytes, at + 44);
  });
  const results = Buffer.alloc(blocks.length);
  const corrupt = await parts.decode({ input: scratch, output, blocks: plan, results });
  if (corrupt === 0) return;
  blocks.forEach(({ wanted, pack }, i) => {
    if (results[i] === 0) return;
    const name = parts.index.packName(pack)?.toString('hex') ?? '?';
    bad.push({ number: wanted.number, reason: `pack ${name} is corrupt at byte ${wanted.offset}` });
  });
}
