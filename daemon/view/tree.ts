/** What the mounted tree looks like.
 *
 *    /<volume>/<backup>/volume.img
 *                       manifest.json
 *                       partitions/<n>.img     windows into volume.img; the table is read when somebody looks
 *    /by-time/<time>@<volume>                    links to the folders of all backups
 *
 *  Promises: a backup keeps its node numbers until it is dropped, and a number is never given to anything else; what the
 *  source no longer lists is not found any more; nobody finds what is not in his sight. Knows nothing of FUSE sessions, slots or
 *  catalogs, and not whose sight is which. */

import type { FuseNode } from '../../native/native.ts';
import { assert } from '../base/assert.ts';
import type { BackupImage } from '../repository/repository.ts';
import { type FolderSource, Folders, type OwnedBackup, type Sight, wholeSight } from './folders.ts';
import { byTimeName } from './names.ts';
import type { Partition } from './tables/range.ts';

export const imageName = 'volume.img';
export const manifestName = 'manifest.json';
export const partitionsName = 'partitions';
/** What FUSE calls the root. */
export const rootNode = 1;

/** Who may see what is no matter of modes: see `Sight`. */
const folderMode = 0o555;
const fileMode = 0o444;
const linkMode = 0o777;

export interface OpenBackup {
  readonly image: BackupImage;
  readonly manifest: Uint8Array;
}

/** A backup with what its extended attributes tell. */
export interface ShownBackup extends OwnedBackup {
  readonly status: string;
  readonly root_digest: string | null;
}

/** Where the tree comes from. */
export interface ViewSource extends FolderSource {
  backup(backupId: string): ShownBackup | undefined;
  open(backupId: string): Promise<OpenBackup>;
}

export type Place =
  | { readonly kind: 'root' | 'by-time' }
  | { readonly kind: 'volume'; readonly volumeId: string }
  | { readonly kind: 'backup' | 'image' | 'manifest' | 'partitions' | 'link'; readonly backupId: string }
  | { readonly kind: 'partition'; readonly backupId: string; readonly number: number };

export interface FolderEntry {
  readonly name: string;
  readonly node: number;
  readonly folder: boolean;
  readonly link: boolean;
}

/** What has to be read to be known. */
export interface TreeReads {
  readonly manifestBytes: (backupId: string) => Promise<number>;
  readonly partitions: (backupId: string) => Promise<readonly Partition[]>;
}

export class Tree {
  readonly #source: ViewSource;
  readonly #folders: Folders;
  readonly #openedAtMs: number;
  readonly #reads: TreeReads;
  readonly #places = new Map<number, Place>([[rootNode, { kind: 'root' }]]);
  readonly #nodes = new Map<string, number>();
  /** The nodes that each backup has been given. */
  readonly #nodesOfBackup = new Map<string, number[]>();
  #nextNode = rootNode + 1;

  constructor(source: ViewSource, openedAtMs: number, reads: TreeReads) {
    this.#source = source;
    this.#folders = new Folders(source);
    this.#openedAtMs = openedAtMs;
    this.#reads = reads;
  }

  place(node: number): Place | undefined {
    return this.#places.get(node);
  }

  /** Whether what is at `node` is, as far as the rights of the caller go, his to see. */
  isSeen(sight: Sight, node: number): boolean {
    const place = this.#places.get(node);
    if (place === undefined || !('backupId' in place)) return true;
    const backup = this.#source.backup(place.backupId);
    return backup === undefined || sight.sees(backup.project_id);
  }

  /** What is called `name` in folder `parent`; undefined where there is nothing. */
  async lookup(sight: Sight, parent: number, name: string): Promise<FuseNode | undefined> {
    const place = this.#places.get(parent);
    if (place?.kind === 'root') {
      if (name === byTimeName) return this.#folder({ kind: 'by-time' }, this.#openedAtMs);
      const volume = this.#folders.volumes(sight).get(name);
      return (
        volume && {
          ...this.#folder({ kind: 'volume', volumeId: volume.id }, this.#openedAtMs),
          guarded: true,
        }
      );
    }
    if (place?.kind === 'volume') {
      const backup = this.#folders.backup(sight, place.volumeId, name);
      return (
        backup && {
          ...this.#folder({ kind: 'backup', backupId: backup.id }, timeOf(backup.created_at)),
          guarded: true,
        }
      );
    }
    if (place?.kind === 'backup') return this.#inBackup(place.backupId, name);
    if (place?.kind === 'partitions') return this.#partition(place.backupId, name);
    if (place?.kind === 'by-time') return this.#link(sight, this.#folders.atTime(sight, name));
    return undefined;
  }

  async list(sight: Sight, node: number): Promise<FolderEntry[]> {
    const place = this.#places.get(node);
    const entry = (name: string, at: Place, folder: boolean) => ({
      name,
      node: this.#nodeOf(at),
      folder,
      link: at.kind === 'link',
    });
    if (place?.kind === 'root') {
      const entries = [...this.#folders.volumes(sight)].map(([name, { id }]) =>
        entry(name, { kind: 'volume', volumeId: id }, true),
      );
      return [entry(byTimeName, { kind: 'by-time' }, true), ...entries];
    }
    if (place?.kind === 'by-time')
      return [...this.#folders.byTime(sight)].map(([name, { id }]) =>
        entry(name, { kind: 'link', backupId: id }, false),
      );
    if (place?.kind === 'volume') {
      const folders = this.#folders.backups(sight, place.volumeId);
      return [...folders].map(([name, { id }]) => entry(name, { kind: 'backup', backupId: id }, true));
    }
    if (place?.kind === 'partitions') {
      const { backupId } = place;
      const partitions = await this.#partitionsOf(backupId);
      return partitions.map(({ number }) =>
        entry(`${number}.img`, { kind: 'partition', backupId, number }, false),
      );
    }
    if (place?.kind !== 'backup' || this.#source.backup(place.backupId) === undefined) return [];
    const { backupId } = place;
    return [
      entry(imageName, { kind: 'image', backupId }, false),
      entry(manifestName, { kind: 'manifest', backupId }, false),
      entry(partitionsName, { kind: 'partitions', backupId }, true),
    ];
  }

  /** Names from the root of the view to the folder of a backup; undefined where the view does not show it. */
  backupPath(sight: Sight, backupId: string): readonly string[] | undefined {
    const backup = this.#source.backup(backupId);
    if (backup === undefined || !sight.sees(backup.project_id)) return undefined;
    const volume = this.#folders.volumeName(sight, backup.volume_id);
    const folder = this.#folders.backupName(sight, backup);
    return volume === undefined || folder === undefined ? undefined : [volume, folder];
  }

  /** The same to its image, as an administrator has them. */
  imagePath(backupId: string): readonly string[] | undefined {
    const path = this.backupPath(wholeSight, backupId);
    return path && [...path, imageName];
  }

  /** Where the link at `node` leads; undefined where it is none. */
  linkTarget(sight: Sight, node: number): string | undefined {
    const place = this.#places.get(node);
    if (place?.kind !== 'link') return undefined;
    const path = this.backupPath(sight, place.backupId);
    return path && ['..', ...path].join('/');
  }

  /** Extended attributes, by name: of the folder of a backup and all that is in it. */
  attributes(node: number): ReadonlyMap<string, string> {
    const place = this.#places.get(node);
    const backup = place && 'backupId' in place ? this.#source.backup(place.backupId) : undefined;
    if (backup === undefined) return new Map();
    const { id, volume_id: volumeId, data_timestamp: dataTimestamp, status, root_digest: digest } = backup;
    return new Map([
      ['user.basalt.id', id],
      ['user.basalt.volume_id', volumeId],
      ['user.basalt.data_timestamp', dataTimestamp],
      ['user.basalt.status', status],
      ...(digest === null ? [] : ([['user.basalt.root_digest', digest]] as const)),
    ]);
  }

  #link(sight: Sight, backup: OwnedBackup | undefined): FuseNode | undefined {
    if (backup === undefined) return undefined;
    const node = this.#nodeOf({ kind: 'link', backupId: backup.id });
    const sizeBytes = Buffer.byteLength(this.linkTarget(sight, node) ?? '');
    const modifiedAtMs = timeOf(backup.created_at);
    return { node, folder: false, link: true, sizeBytes, mode: linkMode, modifiedAtMs, guarded: true };
  }

  /** Forgets the nodes of a backup and gives them. */
  drop(backupId: string): readonly number[] {
    const dropped = this.#nodesOfBackup.get(backupId) ?? [];
    this.#nodesOfBackup.delete(backupId);
    for (const node of dropped) {
      const place = this.#places.get(node);
      if (place !== undefined) this.#nodes.delete(keyOf(place));
      this.#places.delete(node);
    }
    return dropped;
  }

  #folder(place: Place, modifiedAtMs: number): FuseNode {
    return { node: this.#nodeOf(place), folder: true, sizeBytes: 0, mode: folderMode, modifiedAtMs };
  }

  async #inBackup(backupId: string, name: string): Promise<FuseNode | undefined> {
    const backup = this.#source.backup(backupId);
    if (backup === undefined) return undefined;
    if (name === partitionsName)
      return this.#folder({ kind: 'partitions', backupId }, timeOf(backup.created_at));
    if (name !== imageName && name !== manifestName) return undefined;
    const kind = name === imageName ? 'image' : 'manifest';
    const sizeBytes = kind === 'image' ? backup.size_bytes : await this.#reads.manifestBytes(backupId);
    // It may have been dropped meanwhile: then it must not get a new number.
    if (this.#source.backup(backupId) === undefined) return undefined;
    return this.#file({ kind, backupId }, sizeBytes, backup);
  }

  async #partition(backupId: string, name: string): Promise<FuseNode | undefined> {
    const found = (await this.#partitionsOf(backupId)).find(({ number }) => name === `${number}.img`);
    const backup = this.#source.backup(backupId);
    if (found === undefined || backup === undefined) return undefined;
    const { number, offset, sizeBytes } = found;
    const source = {
      node: this.#nodeOf({ kind: 'image', backupId }),
      offset,
      sizeBytes: backup.size_bytes,
    };
    return { ...this.#file({ kind: 'partition', backupId, number }, sizeBytes, backup), source };
  }

  async #partitionsOf(backupId: string): Promise<readonly Partition[]> {
    if (this.#source.backup(backupId) === undefined) return [];
    const partitions = await this.#reads.partitions(backupId);
    return this.#source.backup(backupId) === undefined ? [] : partitions;
  }

  #file(place: Place, sizeBytes: number, backup: OwnedBackup): FuseNode {
    const modifiedAtMs = timeOf(backup.data_timestamp);
    return { node: this.#nodeOf(place), folder: false, sizeBytes, mode: fileMode, modifiedAtMs };
  }

  #nodeOf(place: Place): number {
    const key = keyOf(place);
    const known = this.#nodes.get(key);
    if (known !== undefined) return known;
    const node = this.#nextNode++;
    assert(Number.isSafeInteger(node), 'node numbers do not run out');
    this.#nodes.set(key, node);
    this.#places.set(node, place);
    if ('backupId' in place) {
      const nodes = this.#nodesOfBackup.get(place.backupId);
      if (nodes === undefined) this.#nodesOfBackup.set(place.backupId, [node]);
      else nodes.push(node);
    }
    return node;
  }
}

function keyOf(place: Place): string {
  if ('number' in place) return `${place.kind}/${place.backupId}/${place.number}`;
  if ('backupId' in place) return `${place.kind}/${place.backupId}`;
  if ('volumeId' in place) return `${place.kind}/${place.volumeId}`;
  return place.kind;
}

const timeOf = (text: string): number => {
  const timeMs = Date.parse(text);
  return Number.isNaN(timeMs) ? 0 : timeMs;
};
