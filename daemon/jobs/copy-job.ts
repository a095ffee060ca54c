/** Copies a backup to another repository: it keeps its id, names, times and parent there.
 *
 *  A record tells of one place. From Cinder's format to ours it goes with the copy, which needs no parents to be read; in all
 *  other cases it stays where it is. Nothing is removed from the repository that was read.
 *
 *  Promises: what is there already is not copied again, so that a copy which was cut off goes on where it was; two copies never
 *  write the same backup at a time; in a Cinder repository a backup becomes an incremental one where its parent is there, else a
 *  full one. */

import { unlessAborted } from '../base/abort.ts';
import { Fault } from '../base/faults.ts';
import { recordOf } from '../catalog/rebuild.ts';
import type { BackupRecord, JobRecord } from '../catalog/records.ts';
import type { BackupManifest } from '../format/manifest.ts';
import { copyBackup } from '../pipeline/copy.ts';
import { throwIfCancelled } from '../pipeline/parts.ts';
import type { ManifestFields, Repository } from '../repository/repository.ts';
import { findBackupToRead, requireReadable } from './find.ts';
import type { JobContext } from './job-order.ts';
import { type Services, timestamp, withMemory } from './services.ts';

export interface CopyOrder {
  readonly backup: string;
  readonly project: string;
  /** Name of the repository that gets it. */
  readonly to: string;
  /** Its parents, too. */
  readonly chain: boolean;
  readonly rate: number;
}

interface Copied {
  readonly manifest: BackupManifest;
  /** False: it was there already. */
  readonly copied: boolean;
}

export async function copyBackupTo(services: Services, order: CopyOrder): Promise<JobRecord> {
  const { catalog, repositories } = services;
  const backup = findBackupToRead(catalog, order.backup, order.project);
  requireReadable(backup, 'copy');
  if (backup.repository === order.to) {
    throw new Fault('ALREADY_EXISTS', `Cannot copy backup "${backup.id}" to "${order.to}": it is there`, {
      hint: 'Name another repository: basaltctl repository list',
    });
  }
  const target = await repositories.get(order.to);
  await target.requireWritable();
  refuseWhileCopied(services, backup);
  const moved: BackupManifest[] = [];
  return services.jobs.submit({
    kind: 'copy',
    project_id: order.project,
    backup_id: backup.id,
    volume_id: backup.volume_id,
    bytes_per_second: order.rate,
    run: async (context) => {
      const source = await repositories.of(backup);
      const copies: Copied[] = [];
      for (const manifest of await chainOf(source, backup.id, order.chain)) {
        const { id } = manifest.backup;
        const way = { source, target, manifest };
        const copy = await inTurn(`${target.id} ${id}`, context.signal, () =>
          copyOne(services, context, way),
        );
        copies.push(copy);
        if (source.kind !== 'native' && target.kind === 'native') moved.push(copy.manifest);
      }
      return { backup_id: backup.id, repository: order.to, copies: copies.map(presentCopy) };
    },
    end: (changes) => {
      const now = timestamp(services.clock);
      for (const manifest of moved) {
        // As it is now: it may have been renamed, restored or forgotten since it was copied.
        const record = catalog.get('backups', manifest.backup.id);
        if (record?.repository !== backup.repository) continue;
        const { project_id, name, description, metadata, status } = record;
        const fresh = recordOf(manifest, order.to, now);
        changes.put('backups', { ...fresh, project_id, name, description, metadata, status });
      }
    },
  });
}

function refuseWhileCopied({ jobs }: Services, { id }: BackupRecord): void {
  const other = jobs.activeFor(id).find(({ kind }) => kind === 'copy' || kind === 'delete');
  if (other !== undefined)
    throw new Fault('BACKUP_BUSY', `Cannot copy backup "${id}": job "${other.id}" (${other.kind}) uses it`);
}

/** Longest chain that is followed: what is longer is a circle, or of no use. */
const chainMax = 10_000;

/** The backup, behind its parents where they are wanted: the oldest first. */
async function chainOf(source: Repository, id: string, withParents: boolean): Promise<BackupManifest[]> {
  const chain = [await source.manifest(id)];
  if (!withParents) return chain;
  for (let first = chain[0]; first !== undefined; first = chain[0]) {
    const { parent_id: parentId } = first.backup;
    if (parentId === null || chain.some(({ backup }) => backup.id === parentId)) break;
    const parent = await source.manifest(parentId).catch((thrown: unknown) => {
      // In our own format a parent may be gone: its children are whole.
      if (source.kind === 'native' && isMissing(thrown)) return undefined;
      throw thrown;
    });
    if (parent === undefined || chain.length >= chainMax) break;
    chain.unshift(parent);
  }
  return chain;
}

const isMissing = (thrown: unknown): boolean => thrown instanceof Fault && thrown.code === 'MANIFEST_MISSING';

/** Copies under way, by repository and backup. */
const underWay = new Map<string, Promise<void>>();

/** Copies of one backup to one repository come one after the other: they share parents, and the place where it is made. */
async function inTurn<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let other = underWay.get(key); other !== undefined; other = underWay.get(key)) {
    throwIfCancelled(signal);
    await unlessAborted(other, signal);
  }
  throwIfCancelled(signal);
  let done: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    done = resolve;
  });
  underWay.set(key, ended);
  try {
    return await work();
  } finally {
    underWay.delete(key);
    done();
  }
}

interface Way {
  readonly source: Repository;
  readonly target: Repository;
  readonly manifest: BackupManifest;
}

async function copyOne(services: Services, context: JobContext, way: Way): Promise<Copied> {
  const { source, target, manifest } = way;
  const there = await presentIn(target, manifest.backup.id);
  if (there !== undefined) {
    if (there.volume.size_bytes === manifest.volume.size_bytes) return { manifest: there, copied: false };
    const message = `Cannot copy backup "${manifest.backup.id}" to "${target.url}": there is another one of that id`;
    throw new Fault('ALREADY_EXISTS', message, { hint: 'Delete that one, or copy to another repository' });
  }
  const fields = await fieldsFor(target, manifest);
  const { progress, signal } = context;
  const rates = [context.rate, services.rates.read];
  const copies = () => services.operations.running;
  const make = (wanted: ManifestFields) =>
    withMemory(services, context, 'copy', (grant) => {
      const image = source.openImage(manifest);
      return copyBackup({ image, target, fields: wanted, grant, progress, signal, rates, copies });
    });
  try {
    return { manifest: await make(fields), copied: true };
  } catch (thrown) {
    if (!(thrown instanceof Fault) || thrown.code !== 'NO_PARENT') throw thrown;
  }
  return { manifest: await make({ ...fields, backup: { ...fields.backup, parent_id: null } }), copied: true };
}

const presentIn = (repository: Repository, id: string): Promise<BackupManifest | undefined> =>
  repository.manifest(id).catch((thrown: unknown) => {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  });

/** In a Cinder repository only a parent that is there is one. */
async function fieldsFor(
  target: Repository,
  { backup, volume, consistency, evidence }: BackupManifest,
): Promise<ManifestFields> {
  const fields = { backup, volume, consistency, evidence };
  if (target.kind === 'native' || backup.parent_id === null) return fields;
  const parent = await presentIn(target, backup.parent_id);
  return parent === undefined ? { ...fields, backup: { ...backup, parent_id: null } } : fields;
}

const presentCopy = ({ manifest: { backup, statistics, object_count }, copied }: Copied) => ({
  backup_id: backup.id,
  copied,
  is_incremental: backup.parent_id !== null,
  parent_id: backup.parent_id,
  container: backup.container,
  object_count: object_count ?? null,
  stored_bytes: copied ? statistics.stored_bytes : 0,
});
