/** What the mounted tree looks like.
 *
 *    /<volume>/<backup>/…                        see backup-folder.ts
 *    /by-time/<time>@<volume>                    links to the folders of all backups
 *
 *  Promises: what the source no longer lists is not found any more; nobody finds what is not in his sight. Knows nothing of FUSE
 *  sessions, slots or catalogs, and not whose sight is which. */

import type { FuseNode } from '../../native/native.ts';
import type { BackupImage } from '../repository/repository.ts';
import {
  BackupFolder,
  type BackupReads,
  type FolderEntry,
  folderMode,
  imageName,
  type Redirection,
  timeOf,
} from './backup-folder.ts';
import { type FolderSource, Folders, type OwnedBackup, type Sight, wholeSight } from './folders.ts';
import { byTimeName } from './names.ts';
import { type Place, Places } from './places.ts';

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

export class Tree {
  readonly places = new Places();
  readonly #source: ViewSource;
  readonly #folders: Folders;
  readonly #openedAtMs: number;
  readonly #inside: BackupFolder;

  constructor(source: ViewSource, openedAtMs: number, reads: BackupReads) {
    this.#source = source;
    this.#folders = new Folders(source);
    this.#openedAtMs = openedAtMs;
    this.#inside = new BackupFolder(this.places, reads, (backupId) => source.backup(backupId));
  }

  /** Whether what is at `node` is, as far as the rights of the caller go, his to see. */
  isSeen(sight: Sight, node: number): boolean {
    const place = this.places.at(node);
    if (place === undefined || !('backupId' in place)) return true;
    const backup = this.#source.backup(place.backupId);
    return backup === undefined || sight.sees(backup.project_id);
  }

  /** What is called `name` in folder `parent`; undefined where there is nothing. */
  async lookup(sight: Sight, parent: number, name: string): Promise<FuseNode | Redirection | undefined> {
    const place = this.places.at(parent);
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
    if (place?.kind === 'by-time') return this.#link(sight, this.#folders.atTime(sight, name));
    return place && this.#inside.lookup(place, name);
  }

  async list(sight: Sight, node: number): Promise<FolderEntry[] | Redirection> {
    const place = this.places.at(node);
    const entry = (name: string, at: Place, folder: boolean) => ({
      name,
      node: this.places.nodeOf(at),
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
    return place === undefined ? [] : this.#inside.list(place);
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
    const place = this.places.at(node);
    if (place?.kind !== 'link') return undefined;
    const path = this.backupPath(sight, place.backupId);
    return path && ['..', ...path].join('/');
  }

  /** Extended attributes, by name: of the folder of a backup and all that is in it. */
  async attributes(node: number): Promise<ReadonlyMap<string, string>> {
    const place = this.places.at(node);
    const backup = place && 'backupId' in place ? this.#source.backup(place.backupId) : undefined;
    if (place === undefined || backup === undefined) return new Map();
    const { id, volume_id: volumeId, data_timestamp: dataTimestamp, status, root_digest: digest } = backup;
    // What the backup is can be told without its image.
    const notes = await this.#inside.notes(place).catch(() => []);
    return new Map([
      ['user.basalt.id', id],
      ['user.basalt.volume_id', volumeId],
      ['user.basalt.data_timestamp', dataTimestamp],
      ['user.basalt.status', status],
      ...(digest === null ? [] : ([['user.basalt.root_digest', digest]] as const)),
      ...(notes.length === 0 ? [] : ([['user.basalt.note', notes.join(' ')]] as const)),
    ]);
  }

  #link(sight: Sight, backup: OwnedBackup | undefined): FuseNode | undefined {
    if (backup === undefined) return undefined;
    const node = this.places.nodeOf({ kind: 'link', backupId: backup.id });
    const sizeBytes = Buffer.byteLength(this.linkTarget(sight, node) ?? '');
    const modifiedAtMs = timeOf(backup.created_at);
    return { node, folder: false, link: true, sizeBytes, mode: linkMode, modifiedAtMs, guarded: true };
  }

  #folder(place: Place, modifiedAtMs: number): FuseNode {
    return { node: this.places.nodeOf(place), folder: true, sizeBytes: 0, mode: folderMode, modifiedAtMs };
  }
}
