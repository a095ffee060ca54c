/** Checks a whole repository: every manifest, every page of every map, and that each block is where the index says; with
 *  `readData` every byte of every pack too. Each pack and each page is read once, however many backups share it.
 *  Memory: a bounded number of pack sizes, of addresses of corrupt blocks, and of pages known to be whole.
 *  Knows nothing of jobs. Changes nothing in the repository; the index learns of whole copies of corrupt blocks. */

import { digestBytes, hex, isZero } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';
import { damageRangesMax, fanout, segmentBytes } from '../../base/limits.ts';
import { decodeOrderBytes, entryBytes, locationBytes } from '../../format/block-layouts.ts';
import { packKey } from '../../format/layout.ts';
import type { Manifest } from '../../format/manifest.ts';
import { isPackHeader, packHeaderBytes } from '../../format/pack.ts';
import type { CheckReport, DamagedRange, Progress } from '../repository.ts';
import { damageOf } from './block-reader.ts';
import { listPacks, type PackListing, readDirectory } from './pack-reader.ts';
import type { PageCache } from './page-cache.ts';
import type { NativeParts } from './parts.ts';

/** Addresses of corrupt blocks that are remembered; beyond, the packs are named and the backups are not told apart. */
const corruptMax = 100_000;
/** Sizes that are remembered: packs of some 600 GiB. */
const packSizesMax = 20_000;
/** Pages that need no second look. */
const wholePagesMax = 50_000;

interface Findings {
  packsChecked: number;
  /** Sizes of packs; of those beyond `packSizesMax` the storage is asked when they are met. */
  readonly packSizes: Map<string, number>;
  /** Address to the packs whose copy of it is corrupt. */
  readonly corrupt: Map<string, { readonly packs: string[]; readonly reason: string }>;
  readonly damagedPacks: { key: string; reason: string }[];
}

export interface CheckParts extends NativeParts {
  readonly cache: PageCache;
  /** Two buffers of `segmentBytes` each. */
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  /** Tells the index of packs that it does not know. */
  readonly update: () => Promise<unknown>;
  readonly manifests: () => AsyncIterable<{ key: string; manifest?: Manifest; fault?: Error }>;
}

export async function checkRepository(
  parts: CheckParts,
  readData: boolean,
  progress: Progress,
  signal: AbortSignal,
): Promise<CheckReport> {
  // A backup that is made meanwhile has packs that the list lacks: only what is there before the packs are listed is checked.
  const before = new Set<string>();
  for await (const { key } of parts.manifests()) before.add(key);
  await parts.update();
  const findings = await checkPacks(parts, readData, progress, signal);
  const damagedBackups: { backupId: string; volumeName: string; ranges: DamagedRange[] }[] = [];
  const damagedManifests: { key: string; reason: string }[] = [];
  const whole = new Set<string>();
  let backupsChecked = 0;
  for await (const { key, manifest, fault } of parts.manifests()) {
    signal.throwIfAborted();
    if (!before.has(key)) continue;
    backupsChecked += 1;
    progress({ bytesDone: backupsChecked, bytesTotal: 0, phase: 'checking maps' });
    if (manifest === undefined) {
      damagedManifests.push({ key, reason: fault?.message ?? 'it can not be read' });
      continue;
    }
    const ranges = await checkMap(parts, findings, manifest, whole, signal);
    if (ranges.length > 0) {
      damagedBackups.push({ backupId: manifest.backup.id, volumeName: manifest.volume.name, ranges });
    }
  }
  const { packsChecked, damagedPacks } = findings;
  return { backupsChecked, packsChecked, damagedBackups, damagedManifests, damagedPacks };
}

async function checkPacks(
  parts: CheckParts,
  readData: boolean,
  progress: Progress,
  signal: AbortSignal,
): Promise<Findings> {
  const findings: Findings = { packsChecked: 0, packSizes: new Map(), corrupt: new Map(), damagedPacks: [] };
  const phase = readData ? 'reading packs' : 'checking packs';
  let bytesDone = 0;
  for await (const pack of listPacks(parts)) {
    signal.throwIfAborted();
    findings.packsChecked += 1;
    if (findings.packSizes.size < packSizesMax) findings.packSizes.set(pack.name, pack.sizeBytes);
    const directory = await readDirectory(parts, pack.name, pack.sizeBytes);
    if (typeof directory === 'string') findings.damagedPacks.push({ key: pack.key, reason: directory });
    else if (readData) {
      const header = Buffer.alloc(packHeaderBytes);
      const reason = await readDamage(parts, pack, 0, header);
      if (reason !== undefined || !isPackHeader(header))
        findings.damagedPacks.push({ key: pack.key, reason: reason ?? 'its header is corrupt' });
      await checkPackData(parts, findings, pack, directory, signal);
    }
    bytesDone += pack.sizeBytes;
    progress({ bytesDone, bytesTotal: 0, phase });
  }
  if (findings.corrupt.size > 0) await useOtherCopies(parts, findings, signal);
  return findings;
}

/** Points the index to whole copies of corrupt blocks, where another pack has one. */
async function useOtherCopies(parts: CheckParts, findings: Findings, signal: AbortSignal): Promise<void> {
  for await (const { name, sizeBytes } of listPacks(parts)) {
    signal.throwIfAborted();
    const directory = await readDirectory(parts, name, sizeBytes);
    if (typeof directory === 'string') continue;
    const whole: Buffer[] = [];
    for (let at = 0; at < directory.length; at += entryBytes) {
      const address = hex(directory.subarray(at, at + digestBytes));
      const corrupt = findings.corrupt.get(address);
      if (corrupt === undefined || corrupt.packs.includes(name)) continue;
      whole.push(directory.subarray(at, at + entryBytes));
      findings.corrupt.delete(address);
    }
    if (whole.length > 0) await parts.index.addPack(Buffer.from(name, 'hex'), Buffer.concat(whole), true);
  }
}

/** Fills `output`; gives what the failure says about the pack. A storage that is not at hand is thrown. */
async function readDamage(parts: CheckParts, pack: PackListing, position: number, output: Uint8Array) {
  try {
    await parts.storage.read(packKey(pack.name), position, output);
    return undefined;
  } catch (thrown) {
    const reason = damageOf(thrown);
    if (reason === undefined) throw thrown;
    return reason;
  }
}

/** Decodes every block of a pack, a segment's worth at a time. */
async function checkPackData(
  parts: CheckParts,
  findings: Findings,
  pack: PackListing,
  directory: Buffer,
  signal: AbortSignal,
): Promise<void> {
  let corruptBlocks = 0;
  for (let at = 0; at < directory.length; ) {
    signal.throwIfAborted();
    const first = directory.readUInt32LE(at + 32);
    const plan: Buffer[] = [];
    let rawTotal = 0;
    let storedTotal = 0;
    const begin = at;
    for (; at < directory.length; at += entryBytes) {
      const stored = directory.readUInt32LE(at + 36);
      const rawAndEncoding = directory.readUInt32LE(at + 40);
      const raw = rawAndEncoding & 0xffffff;
      const offset = directory.readUInt32LE(at + 32);
      if (offset !== first + storedTotal || rawTotal + raw > segmentBytes) break;
      const block = Buffer.alloc(decodeOrderBytes);
      directory.copy(block, 0, at, at + digestBytes);
      block.writeUInt32LE(storedTotal, 32);
      block.writeUInt32LE(stored, 36);
      block.writeUInt32LE(rawAndEncoding, 40);
      block.writeUInt32LE(rawTotal, 44);
      plan.push(block);
      rawTotal += raw;
      storedTotal += stored;
    }
    const results = Buffer.alloc(plan.length);
    const { input, output } = parts;
    const unread = await readDamage(parts, pack, first, input.subarray(0, storedTotal));
    if (unread === undefined) await parts.decode({ input, output, blocks: Buffer.concat(plan), results });
    else results.fill(1);
    const suspects: Buffer[] = [];
    results.forEach((result, i) => {
      if (result === 0) return;
      corruptBlocks += 1;
      const entry = begin + i * entryBytes;
      const address = directory.subarray(entry, entry + digestBytes);
      suspects.push(address);
      const where = `is corrupt at byte ${directory.readUInt32LE(entry + 32)}`;
      addCorrupt(findings, hex(address), pack.name, `pack ${pack.name} ${unread ?? where}`);
    });
    if (suspects.length > 0) parts.index.suspect(Buffer.concat(suspects));
  }
  if (corruptBlocks > 0) {
    findings.damagedPacks.push({ key: pack.key, reason: `${corruptBlocks} of its blocks are corrupt` });
  }
}

function addCorrupt({ corrupt }: Findings, address: string, pack: string, reason: string): void {
  const known = corrupt.get(address);
  if (known !== undefined) known.packs.push(pack);
  else if (corrupt.size < corruptMax) corrupt.set(address, { packs: [pack], reason });
}

async function checkMap(
  parts: CheckParts,
  findings: Findings,
  manifest: Manifest,
  whole: Set<string>,
  signal: AbortSignal,
): Promise<DamagedRange[]> {
  const ranges: DamagedRange[] = [];
  const blockBytes = manifest.map.block_bytes;
  const add = (offset: number, length: number, reason: string) => {
    const end = Math.min(offset + length, manifest.volume.size_bytes);
    const last = ranges.at(-1);
    if (last !== undefined && last.offset + last.length === offset && last.reason === reason) {
      ranges[ranges.length - 1] = { ...last, length: end - last.offset };
    } else if (ranges.length < damageRangesMax && end > offset)
      ranges.push({ offset, length: end - offset, reason });
  };
  /** True where everything below the page is whole. */
  const visit = async (address: Uint8Array, level: number, offset: number): Promise<boolean> => {
    const key = hex(address);
    // A page means something else at another level.
    const visited = `${level} ${key}`;
    if (isZero(address) || whole.has(visited)) return true;
    // The list is full: what else is damaged would not be told.
    if (ranges.length >= damageRangesMax) return false;
    signal.throwIfAborted();
    const span = blockBytes * fanout ** (level - 1);
    const before = ranges.length;
    const bad = findings.corrupt.get(key)?.reason;
    let page: Uint8Array;
    try {
      page = await parts.cache.use(address, (bytes) => bytes.slice());
    } catch (thrown) {
      if (!(thrown instanceof Fault) || thrown.code !== 'CHUNK_CORRUPT') throw thrown;
      add(offset, span * fanout, thrown.message);
      return false;
    }
    let right = bad === undefined;
    if (bad !== undefined) add(offset, span * fanout, bad);
    else if (level === 1)
      checkLeaf(parts, findings, page, (number, reason) => add(offset + number * span, span, reason));
    else {
      for (let number = 0; number < fanout; number += 1) {
        const child = page.subarray(number * digestBytes, (number + 1) * digestBytes);
        right = (await visit(child, level - 1, offset + number * span)) && right;
      }
    }
    right &&= ranges.length === before && ranges.length < damageRangesMax;
    if (right && whole.size < wholePagesMax) whole.add(visited);
    return right;
  };
  await visit(Buffer.from(manifest.map.root, 'hex'), manifest.map.height, 0);
  return ranges;
}

/** Looks up every block of a leaf: is it in a pack that is there and long enough, and not known to be corrupt? */
function checkLeaf(
  parts: CheckParts,
  findings: Findings,
  page: Uint8Array,
  report: (number: number, reason: string) => void,
): void {
  const locations = Buffer.alloc(fanout * locationBytes);
  parts.index.locate(page, locations);
  const names = new Map<number, string>();
  for (let number = 0; number < fanout; number += 1) {
    const address = page.subarray(number * digestBytes, (number + 1) * digestBytes);
    if (isZero(address)) continue;
    const at = number * locationBytes;
    if (locations.readUInt32LE(at + 12) === 0) {
      report(number, 'no pack holds the block');
      continue;
    }
    const packNumber = locations.readUInt32LE(at);
    const name = names.get(packNumber) ?? parts.index.packName(packNumber)?.toString('hex') ?? '?';
    names.set(packNumber, name);
    const sizeBytes = findings.packSizes.get(name);
    const end = locations.readUInt32LE(at + 4) + locations.readUInt32LE(at + 8);
    const corrupt = findings.corrupt.size > 0 ? findings.corrupt.get(hex(address))?.reason : undefined;
    if (sizeBytes === undefined) report(number, `pack ${name} is missing`);
    else if (end > sizeBytes) report(number, `pack ${name} is cut off`);
    else if (corrupt !== undefined) report(number, corrupt);
  }
}
