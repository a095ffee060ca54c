/** Finds every backup in a Cinder repository, complete or not, from nothing but what lies there.
 *  Promises: names everything that a restore would miss; memory grows with the number of backups, up to a limit, and with nothing
 *  else. Changes nothing. */

import { Fault } from '../../base/faults.ts';
import type { BackupManifest } from '../../format/manifest.ts';
import type { Progress, ScannedBackup } from '../repository.ts';
import { type ChainParts, type Layer, readChain, volumeBytesOf } from './chain.ts';
import { manifestOf } from './manifest.ts';
import { objectName } from './names.ts';
import { decodeRow, rowBytes } from './object-rows.ts';
import { keyIn, type Place, placeOf } from './places.ts';

interface Found {
  readonly place: Place;
  objects: number;
  storedBytes: number;
  hasMetadata: boolean;
  hasHashes: boolean;
}

const backupsMax = 50_000;
const missingNamed = 10;
const rowsHeld = 256;

export async function* scanBackups(
  parts: ChainParts,
  progress: Progress,
  signal: AbortSignal,
): AsyncIterable<ScannedBackup> {
  const found = await listAll(parts, progress, signal);
  let done = 0;
  /** What is missing of a backup's own objects. */
  const own = new Map<string, Promise<string[]>>();
  for (const backup of found.values()) {
    signal.throwIfAborted();
    progress({ bytesDone: (done += 1), bytesTotal: found.size, phase: 'reading metadata' });
    yield await scanOne(parts, backup, own);
  }
}

async function listAll(
  { containers }: ChainParts,
  progress: Progress,
  signal: AbortSignal,
): Promise<Map<string, Found>> {
  const found = new Map<string, Found>();
  let files = 0;
  for await (const { container, name, sizeBytes } of containers.walk()) {
    signal.throwIfAborted();
    files += 1;
    if (files % 1000 === 0) progress({ bytesDone: 0, bytesTotal: 0, phase: `listing: ${files} files` });
    const parsed = placeOf(container, name);
    if (parsed === undefined) continue;
    const { place, part } = parsed;
    const key = keyIn(place, place.prefix);
    const backup = found.get(key) ?? {
      place,
      objects: 0,
      storedBytes: 0,
      hasMetadata: false,
      hasHashes: false,
    };
    found.set(key, backup);
    if (found.size > backupsMax)
      throw new Fault('TOO_MANY', `Cannot scan "${containers.url}": it has more than ${backupsMax} backups`);
    backup.storedBytes += sizeBytes;
    if (part.kind === 'data') backup.objects += 1;
    if (part.kind === 'metadata') backup.hasMetadata = true;
    if (part.kind === 'hashes') backup.hasHashes = true;
  }
  return found;
}

async function scanOne(
  parts: ChainParts,
  { place, objects, storedBytes, hasMetadata, hasHashes }: Found,
  own: Map<string, Promise<string[]>>,
): Promise<ScannedBackup> {
  const missing = hasHashes
    ? []
    : ['its hash list: incrementals on it and proofs of single blocks are not possible'];
  if (!hasMetadata) {
    const all = ['its metadata: the backup was never finished, or has been deleted in part', ...missing];
    return { ...place, manifest: undefined, missing: all, objects, storedBytes };
  }
  let manifest: BackupManifest | undefined;
  try {
    const layers = await readChain(parts, place.backupId);
    const lost: string[] = [];
    for (const layer of layers) {
      const id = layer.place.backupId;
      const looking = own.get(id) ?? missingObjects(parts, layer);
      own.set(id, looking);
      const names = await looking;
      lost.push(...(id === place.backupId ? names : names.map((name) => `of its parent "${id}": ${name}`)));
    }
    missing.unshift(...lost.slice(0, missingNamed));
    if (lost.length === 0) manifest = manifestOf(layers, await volumeBytesOf(parts, layers));
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    missing.unshift(thrown.message);
  }
  return { ...place, manifest, missing, objects, storedBytes };
}

/** Objects that the metadata names and that are not there, or can't be what it says. */
async function missingObjects({ containers, files }: ChainParts, layer: Layer): Promise<string[]> {
  const { facts, place, rowsName } = layer;
  const missing: string[] = [];
  for (let first = 0; first < facts.objects && missing.length < missingNamed; first += rowsHeld) {
    const rows = Buffer.alloc(Math.min(rowsHeld, facts.objects - first) * rowBytes);
    await files.read(rowsName, first * rowBytes, rows);
    for (let at = 0; at < rows.length && missing.length < missingNamed; at += rowBytes) {
      const { number, compression, length } = decodeRow(rows, at);
      // Other names than Cinder's own are found missing when they are read.
      if (number === 0) continue;
      const name = objectName(place.prefix, number);
      const evidence = await containers.evidence(keyIn(place, name));
      if (evidence === undefined) missing.push(`object "${name}"`);
      else if (compression === 'none' && evidence.sizeBytes !== length)
        missing.push(`bytes of object "${name}": it has ${evidence.sizeBytes} of ${length}`);
    }
  }
  return missing;
}
