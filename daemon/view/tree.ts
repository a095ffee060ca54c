/** What the mounted tree looks like: `/<volume>/<backup>/volume.img` and `/<volume>/<backup>/manifest.json`.
 *  Promises: a backup keeps its node numbers until it is dropped, and a number is never given to anything else; what the
 *  source no longer lists is not found any more. Knows nothing of FUSE sessions, slots or catalogs. */

import type { FuseNode } from '../../native/native.ts';
import { assert } from '../base/assert.ts';
import type { BackupImage } from '../repository/repository.ts';
import { backupFolders, type ViewBackup, type ViewVolume, volumeFolders } from './names.ts';

export const imageName = 'volume.img';
export const manifestName = 'manifest.json';
/** What FUSE calls the root. */
export const rootNode = 1;

const folderMode = 0o550;
const fileMode = 0o440;

export interface OpenBackup {
  readonly image: BackupImage;
  readonly manifest: Uint8Array;
}

/** Where the tree comes from. Lists are answered at once, from what is in memory; only backups that can be read are listed. */
export interface ViewSource {
  volumes(): Iterable<ViewVolume>;
  backups(volumeId: string): Iterable<ViewBackup>;
  backup(backupId: string): ViewBackup | undefined;
  open(backupId: string): Promise<OpenBackup>;
}

export type Place =
  | { readonly kind: 'root' }
  | { readonly kind: 'volume'; readonly volumeId: string }
  | { readonly kind: 'backup' | 'image' | 'manifest'; readonly backupId: string };

export interface FolderEntry {
  readonly name: string;
  readonly node: number;
  readonly folder: boolean;
}

export class Tree {
  readonly #source: ViewSource;
  readonly #openedAtMs: number;
  readonly #manifestBytes: (backupId: string) => Promise<number>;
  readonly #places = new Map<number, Place>([[rootNode, { kind: 'root' }]]);
  readonly #nodes = new Map<string, number>();
  #nextNode = rootNode + 1;

  constructor(source: ViewSource, openedAtMs: number, manifestBytes: (backupId: string) => Promise<number>) {
    this.#source = source;
    this.#openedAtMs = openedAtMs;
    this.#manifestBytes = manifestBytes;
  }

  place(node: number): Place | undefined {
    return this.#places.get(node);
  }

  /** What is called `name` in folder `parent`; undefined where there is nothing. */
  async lookup(parent: number, name: string): Promise<FuseNode | undefined> {
    const place = this.#places.get(parent);
    if (place?.kind === 'root') {
      const volume = volumeFolders(this.#source.volumes()).get(name);
      return volume && this.#folder({ kind: 'volume', volumeId: volume.id }, this.#openedAtMs);
    }
    if (place?.kind === 'volume') {
      const backup = backupFolders(this.#source.backups(place.volumeId)).get(name);
      return backup && this.#folder({ kind: 'backup', backupId: backup.id }, timeOf(backup.created_at));
    }
    if (place?.kind === 'backup') return this.#file(place.backupId, name);
    return undefined;
  }

  list(node: number): FolderEntry[] {
    const place = this.#places.get(node);
    const entry = (name: string, at: Place, folder: boolean) => ({ name, node: this.#nodeOf(at), folder });
    if (place?.kind === 'root') {
      const folders = volumeFolders(this.#source.volumes());
      return [...folders].map(([name, { id }]) => entry(name, { kind: 'volume', volumeId: id }, true));
    }
    if (place?.kind === 'volume') {
      const folders = backupFolders(this.#source.backups(place.volumeId));
      return [...folders].map(([name, { id }]) => entry(name, { kind: 'backup', backupId: id }, true));
    }
    if (place?.kind !== 'backup' || this.#source.backup(place.backupId) === undefined) return [];
    const { backupId } = place;
    return [
      entry(imageName, { kind: 'image', backupId }, false),
      entry(manifestName, { kind: 'manifest', backupId }, false),
    ];
  }

  /** Names from the root of the view to the image of a backup; undefined where the view does not show it. */
  imagePath(backupId: string): readonly string[] | undefined {
    const backup = this.#source.backup(backupId);
    if (backup === undefined) return undefined;
    const volume = nameOf(volumeFolders(this.#source.volumes()), backup.volume_id);
    const folder = nameOf(backupFolders(this.#source.backups(backup.volume_id)), backupId);
    return volume === undefined || folder === undefined ? undefined : [volume, folder, imageName];
  }

  /** Forgets the nodes of a backup and gives those of its files. */
  drop(backupId: string): number[] {
    const dropped: number[] = [];
    for (const kind of ['backup', 'image', 'manifest'] as const) {
      const key = keyOf({ kind, backupId });
      const node = this.#nodes.get(key);
      if (node === undefined) continue;
      this.#nodes.delete(key);
      this.#places.delete(node);
      if (kind !== 'backup') dropped.push(node);
    }
    return dropped;
  }

  #folder(place: Place, modifiedAtMs: number): FuseNode {
    return { node: this.#nodeOf(place), folder: true, sizeBytes: 0, mode: folderMode, modifiedAtMs };
  }

  async #file(backupId: string, name: string): Promise<FuseNode | undefined> {
    const backup = this.#source.backup(backupId);
    if (backup === undefined || (name !== imageName && name !== manifestName)) return undefined;
    const kind = name === imageName ? 'image' : 'manifest';
    const sizeBytes = kind === 'image' ? backup.size_bytes : await this.#manifestBytes(backupId);
    // It may have been dropped meanwhile: then it must not get a new number.
    if (this.#source.backup(backupId) === undefined) return undefined;
    const modifiedAtMs = timeOf(backup.data_timestamp);
    return { node: this.#nodeOf({ kind, backupId }), folder: false, sizeBytes, mode: fileMode, modifiedAtMs };
  }

  #nodeOf(place: Place): number {
    const key = keyOf(place);
    const known = this.#nodes.get(key);
    if (known !== undefined) return known;
    const node = this.#nextNode++;
    assert(Number.isSafeInteger(node), 'node numbers do not run out');
    this.#nodes.set(key, node);
    this.#places.set(node, place);
    return node;
  }
}

function keyOf(place: Place): string {
  if (place.kind === 'root') return 'root';
  return `${place.kind}/${place.kind === 'volume' ? place.volumeId : place.backupId}`;
}

function nameOf(folders: Map<string, { readonly id: string }>, id: string): string | undefined {
  for (const [name, value] of folders) if (value.id === id) return name;
  return undefined;
}

const timeOf = (text: string): number => {
  const timeMs = Date.parse(text);
  return Number.isNaN(timeMs) ? 0 : timeMs;
};
