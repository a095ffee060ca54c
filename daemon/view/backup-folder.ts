/** What is in the folder of a backup: image, manifest, partitions, and the files of its file systems.
 *
 *    volume.img  manifest.json  partitions/<n>.img  lvm/<group>/<volume>.img
 *    files/           the file system on the whole image
 *    files/<n>/       those of its partitions, and files/lvm/<group>/<volume>/; an empty folder with a note where nothing is read
 *
 *  Promises: a folder says what it can without anything being read of the image but its tables; what can't be read now is a
 *  failure of who looks into it, never an empty folder. Knows nothing of other backups and of what is in a file system. */

import type { FuseNode, WindowSegment } from '../../native/native.ts';
import { isReadable, noteOf } from './inside/contents.ts';
import { type InnerVolume, type InnerVolumes, isLogical, lvmName, oneSegment } from './inside/volumes.ts';
import type { ViewBackup } from './names.ts';
import type { Place, Places } from './places.ts';
import type { Partition } from './tables/range.ts';

export const imageName = 'volume.img';
export const manifestName = 'manifest.json';
export const partitionsName = 'partitions';
export const filesName = 'files';
const imageEnding = '.img';

/** Who may see what is no matter of modes: see `Sight`. */
export const folderMode = 0o555;
const fileMode = 0o444;

export interface FolderEntry {
  readonly name: string;
  readonly node: number;
  readonly folder: boolean;
  readonly link: boolean;
}

/** What was asked is answered by the reader of this file system. */
export interface Redirection {
  readonly tree: number;
}

/** What has to be read to be known. */
export interface BackupReads {
  readonly manifestBytes: (backupId: string) => Promise<number>;
  readonly partitions: (backupId: string) => Promise<readonly Partition[]>;
  readonly volumes: (backupId: string) => Promise<InnerVolumes>;
  /** Why there is no file system in the tree, or undefined: it can be looked into. */
  readonly refusalOf: (tree: number) => Promise<string | undefined>;
  /** The same where it is known, or may be found out now; undefined where not. */
  readonly isTree: (tree: number) => Promise<boolean>;
  /** What is to be known of a file system that is read. */
  readonly notesOf: (tree: number) => readonly string[];
}

export class BackupFolder {
  readonly #places: Places;
  readonly #reads: BackupReads;
  readonly #backup: (backupId: string) => ViewBackup | undefined;

  constructor(places: Places, reads: BackupReads, backup: (backupId: string) => ViewBackup | undefined) {
    this.#places = places;
    this.#reads = reads;
    this.#backup = backup;
  }

  async lookup(place: Place, name: string): Promise<FuseNode | Redirection | undefined> {
    if (place.kind === 'backup') return this.#inBackup(place.backupId, name);
    if (place.kind === 'partitions') return this.#partition(place.backupId, name);
    if (place.kind === 'lvm') return this.#inLvm(place.backupId, under(place.path, name));
    if (place.kind !== 'files') return undefined;
    const { backupId, path } = place;
    const tree = await this.#treeOf(backupId, path);
    if (tree !== undefined) return (await this.#reads.refusalOf(tree)) === undefined ? { tree } : undefined;
    return this.#inFiles(backupId, under(path, name));
  }

  async list(place: Place): Promise<FolderEntry[] | Redirection> {
    if (!('backupId' in place) || this.#backup(place.backupId) === undefined) return [];
    const { backupId } = place;
    if (place.kind === 'files') return this.#listFiles(backupId, place.path);
    if (place.kind === 'lvm') return this.#listLvm(backupId, place.path);
    if (place.kind === 'partitions') {
      const partitions = await this.#read(backupId, this.#reads.partitions, []);
      return partitions.map(({ number }) =>
        this.#entry(`${number}.img`, { kind: 'partition', backupId, number }, false),
      );
    }
    if (place.kind !== 'backup') return [];
    return [
      this.#entry(imageName, { kind: 'image', backupId }, false),
      this.#entry(manifestName, { kind: 'manifest', backupId }, false),
      this.#entry(partitionsName, { kind: 'partitions', backupId }, true),
      this.#entry(lvmName, { kind: 'lvm', backupId, path: '' }, true),
      this.#entry(filesName, { kind: 'files', backupId, path: '' }, true),
    ];
  }

  /** What is to be known of the folder of a file system beside the backup. */
  async notes(place: Place): Promise<readonly string[]> {
    if (place.kind === 'lvm' && place.path === '') return (await this.#inside(place.backupId)).lvmNotes;
    if (place.kind !== 'files') return [];
    const { backupId, path } = place;
    const volume = await this.#volume(backupId, path);
    if (volume === undefined) return [];
    const tree = await this.#treeOf(backupId, path);
    if (tree === undefined) return [noteOf(volume.content)];
    const refusal = await this.#reads.refusalOf(tree);
    return refusal === undefined ? this.#reads.notesOf(tree) : [refusal];
  }

  async #inBackup(backupId: string, name: string): Promise<FuseNode | undefined> {
    const backup = this.#backup(backupId);
    if (backup === undefined) return undefined;
    if (name === partitionsName) return this.#folder({ kind: 'partitions', backupId }, backup);
    if (name === lvmName) return this.#folder({ kind: 'lvm', backupId, path: '' }, backup);
    if (name === filesName) return this.#filesFolder(backup, '');
    if (name !== imageName && name !== manifestName) return undefined;
    const kind = name === imageName ? 'image' : 'manifest';
    const sizeBytes = kind === 'image' ? backup.size_bytes : await this.#reads.manifestBytes(backupId);
    // It may have been dropped meanwhile: then it must not get a new number.
    if (this.#backup(backupId) === undefined) return undefined;
    return this.#file({ kind, backupId }, sizeBytes, backup);
  }

  async #partition(backupId: string, name: string): Promise<FuseNode | undefined> {
    const partitions = await this.#read(backupId, this.#reads.partitions, []);
    const found = partitions.find(({ number }) => name === `${number}.img`);
    const backup = this.#backup(backupId);
    if (found === undefined || backup === undefined) return undefined;
    const { number, offset, sizeBytes } = found;
    const segments = oneSegment(offset, sizeBytes);
    return this.#window({ kind: 'partition', backupId, number }, { sizeBytes, segments }, backup);
  }

  /** A folder below `files`. What can't be read now is a folder all the same: who looks into it learns why. */
  async #filesFolder(backup: ViewBackup, path: string): Promise<FuseNode | undefined> {
    const backupId = backup.id;
    const isTree = async () => {
      const tree = this.#places.nodeOf({ kind: 'tree', backupId, path });
      return (await this.#reads.isTree(tree)) && (await this.#treeOf(backupId, path)) === tree
        ? { tree }
        : {};
    };
    const tree = await isTree().catch(() => ({}));
    if (this.#backup(backupId) === undefined) return undefined;
    return { ...this.#folder({ kind: 'files', backupId, path }, backup), ...tree };
  }

  async #inFiles(backupId: string, path: string): Promise<FuseNode | undefined> {
    const { volumes } = await this.#inside(backupId);
    const backup = this.#backup(backupId);
    const isThere = volumes.some(({ name }) => name === path || name.startsWith(`${path}/`));
    return isThere && backup !== undefined ? this.#filesFolder(backup, path) : undefined;
  }

  async #listFiles(backupId: string, path: string): Promise<FolderEntry[] | Redirection> {
    const tree = await this.#treeOf(backupId, path);
    if (tree !== undefined) return (await this.#reads.refusalOf(tree)) === undefined ? { tree } : [];
    const { volumes } = await this.#inside(backupId);
    return below(volumes, path).map((name) =>
      this.#entry(name, { kind: 'files', backupId, path: under(path, name) }, true),
    );
  }

  /** The tree that a folder below `files` may be the root of. */
  async #treeOf(backupId: string, path: string): Promise<number | undefined> {
    const volume = await this.#volume(backupId, path);
    if (volume === undefined || !isReadable(volume.content)) return undefined;
    return this.#places.nodeOf({ kind: 'tree', backupId, path });
  }

  async #volume(backupId: string, path: string): Promise<InnerVolume | undefined> {
    return (await this.#inside(backupId)).volumes.find(({ name }) => name === path);
  }

  /** The image of a logical volume, or the folder of its group. */
  async #inLvm(backupId: string, path: string): Promise<FuseNode | undefined> {
    const { volumes } = await this.#inside(backupId);
    const backup = this.#backup(backupId);
    if (backup === undefined) return undefined;
    const found = volumes.find(({ name }) => `${name}${imageEnding}` === `${lvmName}/${path}`);
    if (found !== undefined)
      return this.#window({ kind: 'inner', backupId, path: found.name }, found, backup);
    const isGroup = volumes.some(({ name }) => name.startsWith(`${lvmName}/${path}/`));
    return isGroup ? this.#folder({ kind: 'lvm', backupId, path }, backup) : undefined;
  }

  async #listLvm(backupId: string, path: string): Promise<FolderEntry[]> {
    const volumes = (await this.#inside(backupId)).volumes.filter(isLogical);
    return below(volumes, path === '' ? lvmName : under(lvmName, path)).map((name) =>
      path === ''
        ? this.#entry(name, { kind: 'lvm', backupId, path: name }, true)
        : this.#entry(
            `${name}${imageEnding}`,
            { kind: 'inner', backupId, path: `${lvmName}/${path}/${name}` },
            false,
          ),
    );
  }

  #inside(backupId: string): Promise<InnerVolumes> {
    return this.#read(backupId, this.#reads.volumes, { volumes: [], lvmNotes: [] });
  }

  async #read<T>(backupId: string, read: (backupId: string) => Promise<T>, nothing: T): Promise<T> {
    if (this.#backup(backupId) === undefined) return nothing;
    const found = await read(backupId);
    return this.#backup(backupId) === undefined ? nothing : found;
  }

  #window(
    place: Place,
    { sizeBytes, segments }: { readonly sizeBytes: number; readonly segments: readonly WindowSegment[] },
    backup: ViewBackup,
  ): FuseNode {
    const node = this.#places.nodeOf({ kind: 'image', backupId: backup.id });
    const source = { node, sizeBytes: backup.size_bytes, segments };
    return { ...this.#file(place, sizeBytes, backup), source };
  }

  #entry(name: string, place: Place, folder: boolean): FolderEntry {
    return { name, node: this.#places.nodeOf(place), folder, link: false };
  }

  #folder(place: Place, backup: ViewBackup): FuseNode {
    const modifiedAtMs = timeOf(backup.created_at);
    return { node: this.#places.nodeOf(place), folder: true, sizeBytes: 0, mode: folderMode, modifiedAtMs };
  }

  #file(place: Place, sizeBytes: number, backup: ViewBackup): FuseNode {
    const modifiedAtMs = timeOf(backup.data_timestamp);
    return { node: this.#places.nodeOf(place), folder: false, sizeBytes, mode: fileMode, modifiedAtMs };
  }
}

const under = (path: string, name: string): string => (path === '' ? name : `${path}/${name}`);

/** What the volumes below a path are called there. */
function below(volumes: readonly InnerVolume[], path: string): string[] {
  const start = path === '' ? '' : `${path}/`;
  const names = volumes
    .filter(({ name }) => name !== '' && name.startsWith(start))
    .map(({ name }) => name.slice(start.length).split('/')[0] ?? '');
  return [...new Set(names)];
}

export const timeOf = (text: string): number => {
  const timeMs = Date.parse(text);
  return Number.isNaN(timeMs) ? 0 : timeMs;
};
