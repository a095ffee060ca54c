/** A backup with all the backups that it builds on. Source: chunkeddriver.py, restore.
 *  Promises: a chain is whole, ends at a full backup and has no circle, or is refused in bounded time; metadata that has been read
 *  once is not read again until it changes. */

import { Fault } from '../../base/faults.ts';
import type { Containers } from './containers.ts';
import { type HashList, openHashList } from './hash-list.ts';
import { type MetadataFacts, metadataFault, readMetadata } from './metadata.ts';
import { hashesName, metadataName } from './names.ts';
import { decodeRow, encodeRow, rowBytes } from './object-rows.ts';
import { keyIn, type Place, type Places } from './places.ts';
import type { StateFiles } from './state-files.ts';

export interface Layer {
  readonly place: Place;
  readonly facts: MetadataFacts;
  /** File of the sorted rows. */
  readonly rowsName: string;
  /** Bytes of the metadata, and what tells it from another version. */
  readonly mark: string;
}

/** The newest first. */
export type Chain = [Layer, ...Layer[]];

/** Layers of one chain: Cinder itself would replay every one. */
const layersMax = 1024;
/** Objects that may be out of order: so many are sorted in memory. Cinder writes them in order. */
const unsortedMax = 65_536;

export interface ChainParts {
  readonly containers: Containers;
  readonly places: Places;
  readonly files: StateFiles;
}

/** The backup alone. MANIFEST_MISSING, MANIFEST_CORRUPT. */
export async function readLayer(parts: ChainParts, backupId: string): Promise<Layer> {
  const place = await parts.places.find(backupId);
  if (place === undefined)
    throw new Fault('MANIFEST_MISSING', `Cannot read backup "${backupId}": its metadata is missing`);
  return readLayerAt(parts, place);
}

export async function readLayerAt({ containers, files }: ChainParts, place: Place): Promise<Layer> {
  const key = keyIn(place, metadataName(place.prefix));
  const evidence = await containers.evidence(key);
  if (evidence === undefined)
    throw new Fault('MANIFEST_MISSING', `Cannot read backup "${place.backupId}": "${key}" is missing`);
  const name = files.nameOf('objects', `${containers.url} ${key} ${evidence.mark}`);
  await files.make(name, async (append) => {
    const facts = await readMetadata(containers, place, evidence, append);
    const text = Buffer.from(JSON.stringify(facts));
    const length = Buffer.alloc(8);
    length.writeDoubleLE(text.length);
    await append(Buffer.concat([text, length]));
  });
  const facts = await readFacts(files, name);
  if (facts.backup_id !== null && facts.backup_id !== place.backupId)
    throw metadataFault(key, `it is of backup "${facts.backup_id}"`);
  const rowsName = facts.isSorted ? name : await sorted(files, name, facts, key);
  return { place, facts, rowsName, mark: evidence.mark };
}

async function readFacts(files: StateFiles, name: string): Promise<MetadataFacts> {
  const size = files.size(name) ?? 0;
  const length = Buffer.alloc(8);
  await files.read(name, size - 8, length);
  const text = Buffer.alloc(length.readDoubleLE());
  await files.read(name, size - 8 - text.length, text);
  // We wrote it ourselves, whole: see above.
  return JSON.parse(text.toString('utf8')) as MetadataFacts;
}

/** A file with the same rows in the order of their offsets. */
async function sorted(files: StateFiles, name: string, facts: MetadataFacts, key: string): Promise<string> {
  const sortedName = files.nameOf('sorted', name);
  await files.make(sortedName, async (append) => {
    if (facts.objects > unsortedMax)
      throw metadataFault(key, `its ${facts.objects} objects are not in the order of their offsets`);
    const bytes = Buffer.alloc(facts.objects * rowBytes);
    await files.read(name, 0, bytes);
    const rows = Array.from({ length: facts.objects }, (_, number) => decodeRow(bytes, number * rowBytes));
    rows.sort((a, b) => a.offset - b.offset);
    let end = 0;
    for (const row of rows) {
      // Which of them counts is a question of their order in the list, which nobody promises.
      if (row.offset < end) throw metadataFault(key, `its objects overlap at byte ${row.offset}`);
      end = row.offset + row.length;
      await append(encodeRow(row));
    }
  });
  return sortedName;
}

/** All layers of a backup, the newest first. */
export async function readChain(parts: ChainParts, backupId: string): Promise<Chain> {
  const layers: Chain = [await readLayer(parts, backupId)];
  const seen = new Set([backupId]);
  for (;;) {
    const parent = layers.at(-1)?.facts.parent_id ?? null;
    if (parent === null) return layers;
    if (seen.has(parent))
      throw new Fault('MANIFEST_CORRUPT', `Cannot read backup "${backupId}": its parents run in a circle`);
    if (layers.length >= layersMax)
      throw new Fault(
        'MANIFEST_CORRUPT',
        `Cannot read backup "${backupId}": it has more than ${layersMax} parents`,
      );
    seen.add(parent);
    layers.push(
      await readLayer(parts, parent).catch((thrown: unknown) => {
        if (!(thrown instanceof Fault) || thrown.code !== 'MANIFEST_MISSING') throw thrown;
        const message = `Cannot read backup "${backupId}": its parent "${parent}" is missing`;
        throw new Fault('MANIFEST_MISSING', message, {
          cause: thrown,
          hint: 'Put the parent back: without it only what the backup itself has can be read',
        });
      }),
    );
  }
}

export const hashListOf = (
  { containers, files }: ChainParts,
  { place }: Pick<Layer, 'place'>,
): Promise<HashList | undefined> => openHashList(containers, keyIn(place, hashesName(place.prefix)), files);

/** Size of the volume when the newest of `layers` was made. Nothing says it in bytes: where data ends says it, and where the last
 *  block did not change, that it is as long as it was before. */
export async function volumeBytesOf(parts: ChainParts, layers: readonly Layer[]): Promise<number> {
  let size = 0;
  for (const layer of layers.toReversed()) {
    const { endBytes } = layer.facts;
    const list = await hashListOf(parts, layer).catch(() => undefined);
    if (list === undefined) {
      size = Math.max(size, endBytes);
      continue;
    }
    const [least, most] = [(list.count - 1) * list.chunkBytes, list.count * list.chunkBytes];
    const fits = (bytes: number) => bytes > least && bytes <= most;
    if (fits(endBytes)) size = endBytes;
    else if (!fits(size)) size = most;
  }
  return size;
}
