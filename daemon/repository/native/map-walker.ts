/** Walks the map of a backup from the root down: the extents of an image, the addresses and leaves of a range, the difference
 *  of two maps. Promises: a part of the map that is all zeros costs nothing, and where two maps agree nothing is read; a page that
 *  can't be read damages exactly its range. Memory: one page a level. Knows nothing of packs. */

import { assert } from '../../base/assert.ts';
import { digestBytes, isZero } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';
import { fanout, segmentBytes } from '../../base/limits.ts';
import { pageBytes } from '../../format/layout.ts';
import type { BackupManifest } from '../../format/manifest.ts';
import type { ImageExtent } from '../repository.ts';
import type { PageCache } from './page-cache.ts';

export interface MapRoot {
  readonly root: Uint8Array;
  readonly height: number;
  readonly blockBytes: number;
  readonly sizeBytes: number;
}

export function rootOf({ map, volume }: BackupManifest): MapRoot {
  assert(map !== undefined, 'a manifest of a native repository has a map');
  return {
    root: Buffer.from(map.root, 'hex'),
    height: map.height,
    blockBytes: map.block_bytes,
    sizeBytes: volume.size_bytes,
  };
}

/** Bytes that one entry of a page of `level` covers; level 1 is the leaves. */
const entrySpanBytes = (level: number, blockBytes: number): number => blockBytes * fanout ** (level - 1);

const entry = (page: Uint8Array, number: number): Uint8Array =>
  page.subarray(number * digestBytes, (number + 1) * digestBytes);

/** The addresses of the blocks of a range that lies within one leaf. Throws CHUNK_CORRUPT where the map is damaged. */
export async function addressesOf(
  cache: PageCache,
  map: MapRoot,
  offset: number,
  blocks: number,
): Promise<Uint8Array> {
  let address = map.root;
  for (let level = map.height; level >= 1; level -= 1) {
    if (isZero(address)) return new Uint8Array(blocks * digestBytes);
    const number = Math.floor(offset / entrySpanBytes(level, map.blockBytes)) % fanout;
    const count = level === 1 ? blocks : 1;
    // Copied at once: the page may make room for another one afterwards.
    address = await cache.use(address, (page) =>
      page.slice(number * digestBytes, (number + count) * digestBytes),
    );
  }
  return address;
}

interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly data: boolean;
  readonly damage?: string;
}

/** All of the image in order, zeros merged, data in pieces of a segment. */
export async function* walkExtents(cache: PageCache, map: MapRoot): AsyncIterable<ImageExtent> {
  let zeros: { offset: number; length: number } | undefined;
  for await (const piece of walkPage(cache, map, map.root, map.height, 0)) {
    if (piece.offset >= map.sizeBytes) break;
    const length = Math.min(piece.length, map.sizeBytes - piece.offset);
    if (!piece.data) {
      zeros ??= { offset: piece.offset, length: 0 };
      zeros.length += length;
      continue;
    }
    if (zeros !== undefined) yield { ...zeros, data: false };
    zeros = undefined;
    yield { ...piece, length };
  }
  if (zeros !== undefined) yield { ...zeros, data: false };
}

async function* walkPage(
  cache: PageCache,
  map: MapRoot,
  address: Uint8Array,
  level: number,
  offset: number,
): AsyncIterable<Piece> {
  const span = entrySpanBytes(level, map.blockBytes);
  if (isZero(address)) {
    yield { offset, length: span * fanout, data: false };
    return;
  }
  const page = await readPage(cache, address);
  if (typeof page === 'string') {
    yield { offset, length: span * fanout, data: true, damage: page };
    return;
  }
  if (level === 1) {
    yield* walkLeaf(page, map.blockBytes, offset);
    return;
  }
  for (let number = 0; number < fanout; number += 1) {
    const start = offset + number * span;
    if (start >= map.sizeBytes) return;
    yield* walkPage(cache, map, entry(page, number), level - 1, start);
  }
}

function* walkLeaf(page: Uint8Array, blockBytes: number, offset: number): Iterable<Piece> {
  const addressBytes = (segmentBytes / blockBytes) * digestBytes;
  for (let at = 0; at < pageBytes; at += addressBytes) {
    const data = !isZero(page.subarray(at, at + addressBytes));
    yield { offset: offset + (at / digestBytes) * blockBytes, length: segmentBytes, data };
  }
}

/** A part of a map that lies within one leaf, or, where all is zeros, anywhere. */
export interface LeafPart {
  readonly offset: number;
  readonly length: number;
  /** What there is; absent: zeros, unless it is damaged. `page`: the address of the leaf. */
  readonly leaf?: { readonly page: Uint8Array; readonly entries: Uint8Array };
  /** Why the map can't be read here. */
  readonly damage?: string;
}

/** The range from `from` to `to` in order, without gaps, cut at leaves; it lies inside the map. */
export function walkLeaves(
  cache: PageCache,
  map: MapRoot,
  from: number,
  to: number,
): AsyncIterable<LeafPart> {
  return walkRange(cache, map, { address: map.root, height: map.height }, 0, { from, to });
}

async function* walkRange(
  cache: PageCache,
  map: MapRoot,
  { address, height }: Node,
  offset: number,
  range: { readonly from: number; readonly to: number },
): AsyncIterable<LeafPart> {
  const span = entrySpanBytes(height, map.blockBytes);
  const start = Math.max(offset, range.from);
  const length = Math.min(offset + span * fanout, range.to) - start;
  if (length <= 0) return;
  if (isZero(address)) {
    yield { offset: start, length };
    return;
  }
  const page = await readPage(cache, address);
  if (typeof page === 'string') {
    yield { offset: start, length, damage: page };
    return;
  }
  if (height === 1) {
    yield { offset: start, length, leaf: { page: address, entries: page } };
    return;
  }
  const last = Math.ceil((start + length - offset) / span);
  for (let number = Math.floor((start - offset) / span); number < last; number += 1) {
    const child = { address: entry(page, number), height: height - 1 };
    yield* walkRange(cache, map, child, offset + number * span, range);
  }
}

/** A copy of a page, or why it can't be read. */
async function readPage(cache: PageCache, address: Uint8Array): Promise<Uint8Array | string> {
  try {
    return await cache.use(address, (page) => page.slice());
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === 'CHUNK_CORRUPT') return thrown.message;
    throw thrown;
  }
}

/** Ranges in which two images differ, in order; where one is longer, what is behind the shorter one counts as different.
 *  Throws the reason of `signal` before the next page. */
export async function* walkDifferences(
  cache: PageCache,
  a: MapRoot,
  b: MapRoot,
  signal: AbortSignal,
): AsyncIterable<{ offset: number; length: number }> {
  const shorter = Math.min(a.sizeBytes, b.sizeBytes);
  const longer = Math.max(a.sizeBytes, b.sizeBytes);
  let last: { offset: number; length: number } | undefined;
  for await (const range of allDifferences(cache, a, b, { shorter, longer, signal })) {
    if (last !== undefined && last.offset + last.length === range.offset) {
      last.length += range.length;
      continue;
    }
    if (last !== undefined) yield last;
    last = { ...range };
  }
  if (last !== undefined) yield last;
}

async function* allDifferences(
  cache: PageCache,
  a: MapRoot,
  b: MapRoot,
  { shorter, longer, signal }: { shorter: number; longer: number; signal: AbortSignal },
): AsyncIterable<{ offset: number; length: number }> {
  const height = Math.max(a.height, b.height);
  for await (const piece of comparePages(cache, atHeight(a, height), atHeight(b, height), height, 0, {
    blockBytes: a.blockBytes,
    signal,
  })) {
    if (piece.offset >= shorter) break;
    yield { offset: piece.offset, length: Math.min(piece.length, shorter - piece.offset) };
  }
  if (longer > shorter) yield { offset: shorter, length: longer - shorter };
}

/** A node of a map seen from a greater height than its own: everything beside its first entry is zeros. */
interface Node {
  readonly address: Uint8Array;
  readonly height: number;
}

const atHeight = (map: MapRoot, height: number): Node => ({
  address: map.root,
  height: Math.min(map.height, height),
});

async function* comparePages(
  cache: PageCache,
  a: Node,
  b: Node,
  level: number,
  offset: number,
  about: { readonly blockBytes: number; readonly signal: AbortSignal },
): AsyncIterable<{ offset: number; length: number }> {
  if (a.height === b.height && Buffer.compare(a.address, b.address) === 0) return;
  if (isZero(a.address) && isZero(b.address)) return;
  // Merged ranges come out only where they end: a signal is looked for at every page.
  about.signal.throwIfAborted();
  const [pageA, pageB] = [await childrenOf(cache, a, level), await childrenOf(cache, b, level)];
  const span = entrySpanBytes(level, about.blockBytes);
  for (let number = 0; number < fanout; number += 1) {
    const start = offset + number * span;
    const [childA, childB] = [pageA(number), pageB(number)];
    if (level > 1) yield* comparePages(cache, childA, childB, level - 1, start, about);
    else if (Buffer.compare(childA.address, childB.address) !== 0) yield { offset: start, length: span };
  }
}

async function childrenOf(cache: PageCache, node: Node, level: number): Promise<(number: number) => Node> {
  const none: Node = { address: new Uint8Array(digestBytes), height: level - 1 };
  if (isZero(node.address)) return () => none;
  if (node.height < level) return (number) => (number === 0 ? node : none);
  const page = await cache.use(node.address, (bytes) => bytes.slice());
  return (number) => ({ address: entry(page, number), height: level - 1 });
}
