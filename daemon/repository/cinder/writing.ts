/** What a Cinder repository does when it is written to: begin a backup, delete one. Source: chunkeddriver.py, posix.py.
 *  Promises: only a repository that an operator has made or taken over is ever written to; the parent of an incremental backup has
 *  the same block size, and a volume that has grown asks for a full one; what is deleted is first no backup any more, then gone.
 *  Knows nothing of how backups are found: that is handed in. */

import { randomUUID } from 'node:crypto';
import { opendir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Native } from '../../../native/native.ts';
import { GiB } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { errnoOf, Fault } from '../../base/faults.ts';
import { removeFile, syncFolder } from '../../base/files.ts';
import { isWithin } from '../../base/paths.ts';
import { storageFault } from '../../storage/directory.ts';
import { Staging } from '../../storage/staging.ts';
import type { BackupWriter, CinderWrites, InitOptions, ManifestFields } from '../repository.ts';
import { CinderBackupWriter } from './backup-writer.ts';
import type { HashList } from './hash-list.ts';
import { containerFor, metadataName, parseName, safeContainer } from './names.ts';
import { fileMode } from './publish.ts';
import { hashBytes, type ParentHashes } from './runs.ts';
import { type CinderSettings, newSettings, readSettings, writeSettings } from './settings.ts';

/** Where objects are made: no container of Cinder's has this name, and nothing in it begins with a prefix. */
const workshop = 'basalt-tmp';

/** A complete backup that may be a parent. */
export interface ParentBackup {
  readonly sizeBytes: number;
  /** It and its own parents. */
  readonly chain: readonly string[];
  /** Undefined where its hash list is missing. */
  readonly hashes: HashList | undefined;
}

export interface WritingParts {
  readonly root: string;
  readonly url: string;
  /** Who writes: a name that no other user of the folder has. */
  readonly user: string;
  readonly readOnly: boolean;
  readonly clock: Clock;
  readonly native: Pick<Native, 'hashChunks' | 'packChunk' | 'openChunkEncoder' | 'allocateArena'>;
}

type FindParent = (backupId: string) => Promise<ParentBackup | undefined>;

export class CinderWriting {
  readonly #parts: WritingParts;
  /** Undefined: Cinder's own, which only Cinder writes to. */
  #settings: CinderSettings | undefined;

  private constructor(parts: WritingParts, settings: CinderSettings | undefined) {
    this.#parts = parts;
    this.#settings = settings;
  }

  /** Removes what a crash of this host left, where it may. */
  static async open(parts: WritingParts): Promise<CinderWriting> {
    const settings = await readSettings(parts.root, parts.url);
    if (settings !== undefined && !parts.readOnly)
      await rm(join(parts.root, workshop, parts.user), { recursive: true, force: true }).catch(
        () => undefined,
      );
    return new CinderWriting(parts, settings);
  }

  get createdAt(): string | undefined {
    return this.#settings?.created_at;
  }

  get writes(): CinderWrites | undefined {
    if (this.#settings === undefined) return undefined;
    const { compression, object_bytes: objectBytes, hash_block_bytes: hashBlockBytes } = this.#settings;
    return { compression, objectBytes, hashBlockBytes };
  }

  /** REPOSITORY_EXISTS, REPOSITORY_READ_ONLY. */
  async takeOver(options: InitOptions): Promise<void> {
    const { root, url, clock, readOnly } = this.#parts;
    if (readOnly) throw this.#readOnly('it is read-only');
    if (this.#settings !== undefined || (await readSettings(root, url)) !== undefined)
      throw new Fault('REPOSITORY_EXISTS', `Cannot make a repository at "${url}": there is one already`);
    const settings = newSettings(options, new Date(clock.now()).toISOString());
    await writeSettings(root, settings);
    this.#settings = settings;
  }

  /** REPOSITORY_READ_ONLY. Gives what is written with. */
  async requireWritable(): Promise<CinderSettings> {
    const { readOnly, root, user } = this.#parts;
    if (readOnly) throw this.#readOnly('it is read-only');
    if (this.#settings === undefined) {
      throw this.#readOnly(
        "it is Cinder's",
        'To let Basalt write to it: basaltctl repository init NAME --kind cinder',
      );
    }
    try {
      // Root passes every permission check: only a write tells that a file system takes one.
      await (await Staging.open(root, `${workshop}/${user}/probe-${randomUUID()}`, fileMode)).close();
    } catch (thrown) {
      // A full disk is a writable one: the fault of the write itself says more.
      if (!(thrown instanceof Fault) || thrown.code !== 'STORAGE_FULL') throw thrown;
    }
    return this.#settings;
  }

  #readOnly(why: string, hint?: string): Fault {
    const message = `Cannot write to repository "${this.#parts.url}": ${why}`;
    return new Fault('REPOSITORY_READ_ONLY', message, hint === undefined ? {} : { hint });
  }

  async openWriter(fields: ManifestFields, find: FindParent): Promise<BackupWriter> {
    const settings = await this.requireWritable();
    const { root, user, native } = this.#parts;
    const { id, container: wanted, parent_id: parentId } = fields.backup;
    const container = containerFor(id, wanted);
    const parent = parentId === null ? undefined : await parentFor(fields, settings, parentId, find);
    const staging = await Staging.open(root, `${workshop}/${user}/${id}`, fileMode);
    return CinderBackupWriter.open({ native, staging, settings, container, parent }, fields);
  }

  /** Removes every file of the backup: `_metadata` first, so that a crash leaves an incomplete backup, never a wrong one. */
  async remove(backupId: string, container: string): Promise<void> {
    await this.requireWritable();
    const { root } = this.#parts;
    const safe = container === '' ? '' : safeContainer(container);
    const folder = join(root, safe ?? '');
    const real = safe === undefined ? undefined : await realpath(folder).catch(notThere);
    if (real === undefined) return;
    if (!isWithin(real, await realpath(root)))
      throw new Fault('STORAGE_FAILED', `Cannot delete backup "${backupId}": "${folder}" leads outside`);
    const prefixes = new Set<string>();
    for await (const name of namesOf(folder, backupId)) prefixes.add(parseName(name)?.prefix ?? '');
    for (const prefix of prefixes) await removeObject(join(folder, metadataName(prefix)));
    await syncFolder(folder);
    for await (const name of namesOf(folder, backupId)) await removeObject(join(folder, name));
    await syncFolder(folder);
  }
}

/** The hashes to compare with; undefined where the backup must be a full one. NO_PARENT. */
async function parentFor(
  { backup, volume }: ManifestFields,
  { hash_block_bytes: blockBytes }: CinderSettings,
  parentId: string,
  find: FindParent,
): Promise<ParentHashes | undefined> {
  const refused = (why: string): Fault =>
    new Fault('NO_PARENT', `Cannot make backup "${backup.id}" on top of backup "${parentId}": ${why}`);
  const parent = await find(parentId);
  if (parent === undefined) throw refused('it is not in the repository, or not complete');
  const { hashes, sizeBytes, chain } = parent;
  if (hashes === undefined) throw refused('its hash list is missing');
  if (hashes.chunkBytes !== blockBytes)
    throw refused(`it has hashes of ${hashes.chunkBytes} bytes, and the repository has ${blockBytes}`);
  if (Math.ceil(volume.size_bytes / GiB) > Math.ceil(sizeBytes / GiB)) throw refused('the volume has grown');
  // Cinder fails here, or leaves the old end of the volume behind: a full backup is right.
  if (sizeBytes !== volume.size_bytes) return undefined;
  if (hashes.count !== Math.ceil(sizeBytes / blockBytes)) throw refused('its hash list is not whole');
  return {
    chain,
    take: async (first, count) => {
      const output = new Uint8Array(count * hashBytes);
      await hashes.read(first, output);
      return output;
    },
    close: () => Promise.resolve(),
    isThere: async () => (await find(parentId)) !== undefined,
  };
}

const notThere = (thrown: unknown): undefined => {
  if (errnoOf(thrown) !== 'ENOENT') throw thrown;
};

async function removeObject(path: string): Promise<void> {
  await removeFile(path).catch((thrown: unknown) => {
    throw storageFault('remove', path, thrown);
  });
}

/** Files of the backup in a folder. */
async function* namesOf(folder: string, backupId: string): AsyncIterable<string> {
  for await (const entry of await opendir(folder)) {
    if (parseName(entry.name)?.prefix.endsWith(`_backup_${backupId}`) === true) yield entry.name;
  }
}
