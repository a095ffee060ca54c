/** Audits a Cinder repository: every backup with its files, objects, hash list and parents, the parents first.
 *  Promises: every backup that is damaged, incomplete, or restored wrongly by a newer Cinder is named; memory grows with the number
 *  of backups and with nothing else. Changes nothing. */

import { Fault } from '../../base/faults.ts';
import { damageRangesMax, segmentBytes } from '../../base/limits.ts';
import type { Pool } from '../../memory/pool.ts';
import type { AuditFinding, AuditReport, Progress, WrongRestore } from '../repository.ts';
import { type AuditedLayer, auditLayer, type LayerSink } from './audit-layer.ts';
import type { ObjectAuditParts } from './audit-objects.ts';
import { type ChainParts, type Layer, readLayerAt, volumeBytesOf } from './chain.ts';
import { metadataName } from './names.ts';
import { type Place, placeOf } from './places.ts';
import { Ranges } from './ranges.ts';

export type AuditParts = ObjectAuditParts & ChainParts & { readonly pool: Pool };

/** More backups than that are audited in no time anybody has. */
const backupsMax = 50_000;
const rangesListedMax = 100;

export async function auditBackups(
  parts: AuditParts,
  progress: Progress,
  signal: AbortSignal,
): Promise<AuditReport> {
  const lent = await parts.pool.take(2 * segmentBytes, 'an audit');
  try {
    const buffers = [
      lent.bytes.subarray(0, segmentBytes),
      lent.bytes.subarray(segmentBytes, 2 * segmentBytes),
    ] as const;
    return await new Audit(parts, buffers, progress, signal).run();
  } finally {
    lent.release();
  }
}

class Audit {
  readonly #parts: AuditParts;
  readonly #buffers: readonly [Uint8Array, Uint8Array];
  readonly #progress: Progress;
  readonly #signal: AbortSignal;
  readonly #layers = new Map<string, Layer>();
  readonly #audited = new Map<string, AuditedLayer>();
  readonly #findings: AuditFinding[] = [];
  readonly #wrong: WrongRestore[] = [];
  readonly #short: AuditReport['shortFiles'][number][] = [];
  #wrongCount = 0;
  #damages = 0;
  #objects = 0;
  #bytes = 0;
  #bytesTotal = 0;

  constructor(
    parts: AuditParts,
    buffers: readonly [Uint8Array, Uint8Array],
    progress: Progress,
    signal: AbortSignal,
  ) {
    this.#parts = parts;
    this.#buffers = buffers;
    this.#progress = progress;
    this.#signal = signal;
  }

  async run(): Promise<AuditReport> {
    const found = await this.#list();
    for (const { place, hasMetadata } of found) await this.#readLayer(place, hasMetadata);
    for (const id of this.#layers.keys()) await this.#auditChain(id);
    return {
      backupsChecked: found.length,
      objectsChecked: this.#objects,
      bytesChecked: this.#bytes,
      damages: this.#damages,
      findings: this.#findings,
      wrongRestores: this.#wrong,
      wrongRestoresCount: this.#wrongCount,
      shortFiles: this.#short,
    };
  }

  async #list(): Promise<{ place: Place; hasMetadata: boolean }[]> {
    const found = new Map<string, { place: Place; hasMetadata: boolean }>();
    for await (const { container, name } of this.#parts.containers.walk()) {
      this.#signal.throwIfAborted();
      const parsed = placeOf(container, name);
      if (parsed === undefined) continue;
      const key = `${parsed.place.container}/${parsed.place.prefix}`;
      const backup = found.get(key) ?? { place: parsed.place, hasMetadata: false };
      if (parsed.part.kind === 'metadata') backup.hasMetadata = true;
      found.set(key, backup);
      if (found.size > backupsMax)
        throw new Fault(
          'TOO_MANY',
          `Cannot audit "${this.#parts.containers.url}": it has more than ${backupsMax} backups`,
        );
    }
    return [...found.values()];
  }

  async #readLayer(place: Place, hasMetadata: boolean): Promise<void> {
    const { backupId, prefix } = place;
    this.#signal.throwIfAborted();
    this.#tell('reading metadata');
    const name = metadataName(prefix);
    if (!hasMetadata) {
      this.#add(
        backupId,
        'damage',
        name,
        'it is missing: the backup is incomplete, or has been deleted in part',
      );
      return;
    }
    try {
      const layer = await readLayerAt(this.#parts, place);
      if (this.#layers.has(backupId))
        this.#add(backupId, 'damage', name, 'there is another backup of this id');
      else this.#layers.set(backupId, layer);
      this.#bytesTotal += layer.facts.dataBytes;
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      this.#add(backupId, 'damage', name, thrown.message);
    }
  }

  /** The backup, and before it those of its parents that were not audited yet. */
  async #auditChain(backupId: string): Promise<void> {
    const chain: Layer[] = [];
    const seen = new Set<string>();
    for (let id: string | null = backupId; id !== null && !this.#audited.has(id); ) {
      const layer = this.#layers.get(id);
      if (layer === undefined) break;
      if (seen.has(id)) {
        this.#add(id, 'damage', metadataName(layer.place.prefix), 'its parents run in a circle');
        break;
      }
      seen.add(id);
      chain.unshift(layer);
      id = layer.facts.parent_id;
    }
    for (const layer of chain) await this.#auditOne(layer);
  }

  async #auditOne(layer: Layer): Promise<void> {
    const { backupId, prefix } = layer.place;
    const { parent_id: parentId } = layer.facts;
    const parent = parentId === null ? undefined : this.#audited.get(parentId);
    if (parentId !== null && parent === undefined)
      this.#add(
        backupId,
        'damage',
        metadataName(prefix),
        `its parent "${parentId}" is not there, or not whole`,
      );
    const sizeBytes = await volumeBytesOf(this.#parts, this.#layersOf(layer));
    const audited = await auditLayer(this.#parts, {
      layer,
      sizeBytes,
      parent,
      buffers: this.#buffers,
      sink: this.#sinkOf(backupId),
      signal: this.#signal,
    });
    this.#audited.set(backupId, audited);
    this.#addRestore(audited);
  }

  /** The layer and its parents, as far as they are there. */
  #layersOf(layer: Layer): Layer[] {
    const layers: Layer[] = [];
    for (let at: Layer | undefined = layer; at !== undefined && !layers.includes(at); ) {
      layers.push(at);
      at = this.#layers.get(at.facts.parent_id ?? '');
    }
    return layers;
  }

  #addRestore({ layer, wrong: inherited, fileBytes, sizeBytes }: AuditedLayer): void {
    const { backupId } = layer.place;
    // What is wrong in a longer parent behind the end of this backup is none of its bytes; a note tells of that end. Its children
    // inherit it all the same: they may be longer by a part of a block.
    const wrong = new Ranges(inherited);
    wrong.subtract(sizeBytes, Number.MAX_SAFE_INTEGER);
    if (!wrong.isEmpty) {
      this.#wrongCount += 1;
      const ranges = [...wrong].slice(0, rangesListedMax);
      if (this.#wrong.length < damageRangesMax)
        this.#wrong.push({ backupId, ranges, bytes: wrong.bytes, rough: wrong.rough });
    }
    if (fileBytes < sizeBytes && this.#short.length < damageRangesMax)
      this.#short.push({ backupId, sizeBytes, fileBytes });
  }

  #sinkOf(backupId: string): LayerSink {
    return {
      damage: (name, reason, range) => this.#add(backupId, 'damage', name, reason, range),
      note: (name, reason, range) => this.#add(backupId, 'note', name, reason, range),
      object: () => {
        this.#objects += 1;
      },
      bytes: (count) => {
        this.#bytes += count;
        this.#tell(`reading backup ${backupId}`);
      },
    };
  }

  #add(
    backupId: string,
    severity: AuditFinding['severity'],
    name: string,
    reason: string,
    range?: { readonly offset: number; readonly length: number },
  ): void {
    if (severity === 'damage') this.#damages += 1;
    const where = range === undefined ? {} : { offset: range.offset, length: range.length };
    if (this.#findings.length < damageRangesMax)
      this.#findings.push({ backupId, severity, name, reason, ...where });
  }

  #tell(phase: string): void {
    this.#progress({ bytesDone: this.#bytes, bytesTotal: this.#bytesTotal, phase });
  }
}
