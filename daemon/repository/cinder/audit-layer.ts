/** Audits one complete backup of a Cinder repository: its files, its objects, its hash list, its parent; and what a Cinder of 2023.1
 *  or newer makes of it.
 *
 *  Such a Cinder, when it restores to a new volume, leaves out every slice of an object that is all zeros, also in an incremental
 *  backup, where older data shows through; and a file that it restores to ends with the last slice that was written.
 *  Source: cinder/backup/chunkeddriver.py.
 *  Promises: memory does not grow with volume or objects; goes on behind damage. Changes nothing. */

import type { DamagedRange } from '../repository.ts';
import { auditObject, nameOf, type ObjectAuditParts, type ObjectSink, rowsOf } from './audit-objects.ts';
import { type ChainParts, hashListOf, type Layer } from './chain.ts';
import type { HashList } from './hash-list.ts';
import { hashesName, metadataName } from './names.ts';
import { keyIn } from './places.ts';
import { Ranges } from './ranges.ts';
import { hashBytes, hashOfZeros } from './runs.ts';

/** What a child needs to know of its parent. */
export interface AuditedLayer {
  readonly layer: Layer;
  readonly sizeBytes: number;
  readonly hashes: HashList | undefined;
  /** What a new Cinder restores wrongly. */
  readonly wrong: Ranges;
  /** Where a file ends that it restores to. */
  readonly fileBytes: number;
}

export interface LayerSink {
  damage(what: string, reason: string, range?: Pick<DamagedRange, 'offset' | 'length'>): void;
  /** Worth to be known, and no damage. */
  note(what: string, reason: string, range?: Pick<DamagedRange, 'offset' | 'length'>): void;
  object(): void;
  bytes(count: number): void;
}

export interface LayerAudit {
  readonly layer: Layer;
  readonly sizeBytes: number;
  /** Undefined: a full backup, or its parent is not there. */
  readonly parent: AuditedLayer | undefined;
  readonly buffers: readonly [Uint8Array, Uint8Array];
  readonly sink: LayerSink;
  readonly signal: AbortSignal;
}

type Parts = ObjectAuditParts & ChainParts;

const hashesHeld = 4096;

export async function auditLayer(parts: Parts, audit: LayerAudit): Promise<AuditedLayer> {
  const { layer, parent, sink, sizeBytes } = audit;
  const hashes = await openHashes(parts, audit);
  await auditFiles(parts, audit);
  const wrong = new Ranges(parent?.wrong);
  const zeroSlices = new Ranges();
  const fileBytes = Math.max(
    parent?.fileBytes ?? 0,
    await auditObjects(parts, audit, hashes, { wrong, zeroSlices }),
  );
  if (parent !== undefined) auditParent(audit, parent, hashes);
  try {
    if (hashes !== undefined) await auditRest(parts, audit, hashes);
    if (parent?.hashes !== undefined) await addSkipped(zeroSlices, parent.hashes, sizeBytes, wrong);
  } catch (thrown) {
    audit.signal.throwIfAborted();
    sink.damage(hashesName(layer.place.prefix), thrown instanceof Error ? thrown.message : String(thrown));
  }
  return { layer, sizeBytes, hashes, wrong, fileBytes };
}

async function openHashes(parts: Parts, { layer, sink }: LayerAudit): Promise<HashList | undefined> {
  const name = hashesName(layer.place.prefix);
  try {
    const hashes = await hashListOf(parts, layer);
    if (hashes === undefined)
      sink.note(name, 'it is missing: no incremental backup can be made on top of this one');
    else if (layer.facts.endBytes > hashes.count * hashes.chunkBytes)
      sink.damage(name, `it ends at byte ${hashes.count * hashes.chunkBytes}, before the last object does`);
    return hashes;
  } catch (thrown) {
    sink.damage(name, thrown instanceof Error ? thrown.message : String(thrown));
    return undefined;
  }
}

/** The files that Cinder finds must be those of the metadata, no more and no fewer. */
async function auditFiles(parts: Parts, { layer, sink, signal }: LayerAudit): Promise<void> {
  const { place, facts } = layer;
  const named = new Ranges();
  const others = new Set<string>();
  for await (const row of rowsOf(parts.files, layer)) {
    signal.throwIfAborted();
    if (row.number > 0) named.add(row.number, row.number + 1);
    else if (others.size < hashesHeld) others.add(await nameOf(parts, layer, row));
  }
  if (named.bytes + others.size < facts.objects)
    sink.damage(metadataName(place.prefix), 'it names an object twice');
  const missing = new Ranges(named);
  const known = new Set([metadataName(place.prefix), hashesName(place.prefix)]);
  // Names of an object store begin with folders: there the last part counts.
  const folder = place.prefix.includes('/') ? place.prefix.slice(0, place.prefix.lastIndexOf('/') + 1) : '';
  for await (const entry of parts.containers.list(keyIn(place, folder).replace(/\/$/, ''))) {
    const name = `${folder}${entry.name}`;
    if (!name.startsWith(place.prefix) || known.has(name) || others.delete(name)) continue;
    const number = Number(/^-(\d{5}|[1-9]\d{5,14})$/.exec(name.slice(place.prefix.length))?.[1] ?? 0);
    const isNamed = number > 0 && named.has(number);
    if (isNamed) missing.subtract(number, number + 1);
    else sink.damage(name, 'it is stray: Cinder restores nothing while it is there');
  }
  for (const { offset, length } of missing) {
    const last = length === 1 ? '' : ` to -${offset + length - 1}`;
    sink.damage(`${place.prefix}-${String(offset).padStart(5, '0')}${last}`, 'it is missing');
  }
  for (const name of others) sink.damage(name, 'it is missing');
}

interface Slices {
  readonly wrong: Ranges;
  readonly zeroSlices: Ranges;
}

/** Gives where the last slice ends that a new Cinder writes. */
async function auditObjects(
  parts: Parts,
  { layer, sink, buffers, signal }: LayerAudit,
  hashes: HashList | undefined,
  { wrong, zeroSlices }: Slices,
): Promise<number> {
  let end = 0;
  const objects: ObjectSink = {
    // The container is the backup's own: it would be said again and again.
    damage: (key, row, why, range) => {
      // What it ends with is not known: nothing is said of that.
      end = Math.max(end, row.offset + row.length);
      sink.damage(key.slice(keyIn(layer.place, '').length), why, range);
    },
    slice: (offset, length, isZero) => {
      if (isZero) return zeroSlices.add(offset, offset + length);
      wrong.subtract(offset, offset + length);
      end = Math.max(end, offset + length);
    },
    bytes: (count) => sink.bytes(count),
  };
  const rows = rowsOf(parts.files, layer)[Symbol.asyncIterator]();
  const work = async (buffer: Uint8Array) => {
    for (let next = await rows.next(); next.done !== true; next = await rows.next()) {
      await auditObject(parts, next.value, { layer, hashes, buffer, sink: objects, signal });
      sink.object();
    }
  };
  for (const one of await Promise.allSettled(buffers.map(work)))
    if (one.status === 'rejected') throw one.reason;
  return end;
}

function auditParent(
  { layer, sizeBytes, sink }: LayerAudit,
  parent: AuditedLayer,
  hashes: HashList | undefined,
): void {
  const name = metadataName(layer.place.prefix);
  const { facts, place } = parent.layer;
  const of = `its parent "${place.backupId}"`;
  if (layer.place.volumeId !== place.volumeId || layer.facts.volume_id !== facts.volume_id)
    sink.damage(name, `${of} is of another volume`);
  if (hashes !== undefined && parent.hashes !== undefined && hashes.chunkBytes !== parent.hashes.chunkBytes)
    sink.damage(hashesName(layer.place.prefix), `${of} has hashes of blocks of another size`);
  if (parent.sizeBytes > sizeBytes)
    sink.note(name, `${of} is longer: Cinder leaves the end of it on what it restores to`, {
      offset: sizeBytes,
      length: parent.sizeBytes - sizeBytes,
    });
}

/** What no object covers is as it was before; in a full backup it is zeros. */
async function auditRest(parts: Parts, audit: LayerAudit, hashes: HashList): Promise<void> {
  const { layer, sizeBytes, parent } = audit;
  let next = 0;
  for await (const row of rowsOf(parts.files, layer)) {
    if (row.offset > next) await auditGap(audit, hashes, next, row.offset);
    next = Math.max(next, row.offset + row.length);
  }
  if (parent === undefined && layer.facts.parent_id !== null) return;
  if (next < sizeBytes) await auditGap(audit, hashes, next, sizeBytes);
}

async function auditGap(
  { layer, parent, sink, signal, sizeBytes }: LayerAudit,
  hashes: HashList,
  begin: number,
  end: number,
): Promise<void> {
  if (layer.facts.parent_id !== null && parent?.hashes === undefined) return;
  const isFull = layer.facts.parent_id === null;
  const name = isFull ? metadataName(layer.place.prefix) : hashesName(layer.place.prefix);
  const differing = new Ranges();
  await compare(hashes, parent?.hashes, begin, Math.min(end, sizeBytes), differing, signal);
  const why = isFull
    ? 'no object covers it, and the hash list says that it has data'
    : 'no object covers it, and the hash list says that it has changed';
  for (const range of differing) sink.damage(name, why, range);
  if (isFull && differing.isEmpty)
    sink.note(name, 'no object covers it: it restores right to volumes of zeros only', {
      offset: begin,
      length: end - begin,
    });
}

/** Whole blocks in [begin, end) whose hashes differ, or, with nothing to compare with, are not those of zeros. */
async function compare(
  hashes: HashList,
  before: HashList | undefined,
  begin: number,
  end: number,
  differing: Ranges,
  signal: AbortSignal,
): Promise<void> {
  const { chunkBytes, count } = hashes;
  const zero = zeroHashes(hashes, end);
  const last = Math.min(count, Math.ceil(end / chunkBytes));
  for (let first = Math.ceil(begin / chunkBytes); first < last; first += hashesHeld) {
    signal.throwIfAborted();
    const step = Math.min(hashesHeld, last - first);
    const own = Buffer.alloc(step * hashBytes);
    await hashes.read(first, own);
    const other = Buffer.alloc(step * hashBytes);
    const there = Math.max(0, Math.min(step, (before?.count ?? 0) - first));
    if (before !== undefined) await before.read(first, other.subarray(0, there * hashBytes));
    for (let number = 0; number < step; number += 1) {
      const [from, to] = [number * hashBytes, (number + 1) * hashBytes];
      const same =
        before === undefined
          ? isZeroHash(own, number, first + number, zero)
          : own.compare(other, from, to, from, to) === 0;
      const offset = (first + number) * chunkBytes;
      if (!same) differing.add(offset, Math.min(offset + chunkBytes, end));
    }
  }
}

interface ZeroHashes {
  readonly whole: Buffer;
  readonly last: Buffer;
  readonly lastNumber: number;
}

function zeroHashes({ chunkBytes, count }: HashList, sizeBytes: number): ZeroHashes {
  const tail = sizeBytes - (count - 1) * chunkBytes;
  const length = tail > 0 && tail <= chunkBytes ? tail : chunkBytes;
  return { whole: hashOfZeros(chunkBytes), last: hashOfZeros(length), lastNumber: count - 1 };
}

function isZeroHash(hashes: Buffer, number: number, block: number, zero: ZeroHashes): boolean {
  const [from, to] = [number * hashBytes, (number + 1) * hashBytes];
  if (hashes.compare(zero.whole, 0, hashBytes, from, to) === 0) return true;
  return block === zero.lastNumber && hashes.compare(zero.last, 0, hashBytes, from, to) === 0;
}

/** Slices of zeros over blocks that had data before: a new Cinder leaves that data where it is. */
async function addSkipped(slices: Ranges, before: HashList, sizeBytes: number, wrong: Ranges): Promise<void> {
  const { chunkBytes } = before;
  const zero = zeroHashes(before, sizeBytes);
  for (const { offset, length } of slices) {
    const end = offset + length;
    const last = Math.min(before.count, Math.ceil(end / chunkBytes));
    for (let first = Math.floor(offset / chunkBytes); first < last; first += hashesHeld) {
      const step = Math.min(hashesHeld, last - first);
      const old = Buffer.alloc(step * hashBytes);
      await before.read(first, old);
      for (let number = 0; number < step; number += 1) {
        if (isZeroHash(old, number, first + number, zero)) continue;
        const at = (first + number) * chunkBytes;
        wrong.add(Math.max(offset, at), Math.min(end, at + chunkBytes));
      }
    }
  }
  // Where ranges were joined for want of room, more is named than is wrong.
  wrong.rough ||= slices.rough;
}
