/** Which folder is which volume or backup, for each user who looks. A name is found by what it says, not by making all names
 *  anew: its time leads to the few backups of that second.
 *  Promises: whoever may not see a backup does not learn of it, not by its name nor by the names of others; a name that a list
 *  has is found until what there is changes; what is kept grows with the volumes, for a few users at a time.
 *  Knows nothing of FUSE, and not who may see what. */

import { viewSightsMax } from '../base/limits.ts';
import {
  backupFolders,
  backupsByTime,
  hasOddTime,
  secondOf,
  timeInName,
  type ViewBackup,
  volumeFolders,
} from './names.ts';

export interface ViewVolume {
  readonly id: string;
  readonly name: string;
}

/** What a user may see. */
export interface Sight {
  /** The same for all who see the same. */
  readonly key: string;
  readonly sees: (projectId: string) => boolean;
}

export const wholeSight: Sight = { key: 'all', sees: () => true };

export interface OwnedBackup extends ViewBackup {
  readonly project_id: string;
}

/** Lists are answered at once, from what is in memory; only backups that can be read are listed. */
export interface FolderSource {
  /** Another number whenever a backup has come, gone or changed. */
  generation(): number;
  /** Ids of the volumes, with the backups of each: the newest first. */
  volumeIds(): Iterable<string>;
  backups(volumeId: string): Iterable<OwnedBackup & { readonly volume_name: string }>;
  /** Those whose `created_at` begins so, of one volume or of all. */
  backupsMade(beginning: string, volumeId?: string): Iterable<OwnedBackup>;
}

/** The folders of volumes, as one sight has them. */
interface Volumes {
  readonly generation: number;
  readonly byName: ReadonlyMap<string, ViewVolume>;
  readonly nameOf: ReadonlyMap<string, string>;
}

export class Folders {
  readonly #source: FolderSource;
  /** By the key of the sight, in the order of last use. */
  readonly #volumes = new Map<string, Volumes>();
  #odd: { readonly generation: number; readonly any: boolean } | undefined;

  constructor(source: FolderSource) {
    this.#source = source;
  }

  volumes(sight: Sight): ReadonlyMap<string, ViewVolume> {
    return this.#of(sight).byName;
  }

  volumeName(sight: Sight, volumeId: string): string | undefined {
    return this.#of(sight).nameOf.get(volumeId);
  }

  backups(sight: Sight, volumeId: string): ReadonlyMap<string, OwnedBackup> {
    return backupFolders(this.#seen(sight, this.#source.backups(volumeId)));
  }

  backup(sight: Sight, volumeId: string, name: string): OwnedBackup | undefined {
    const beginning = timeInName(name);
    const near = beginning === undefined ? [] : this.#source.backupsMade(beginning, volumeId);
    const found = backupFolders(this.#seen(sight, near)).get(name);
    return found ?? (this.#hasOddTimes() ? this.backups(sight, volumeId).get(name) : undefined);
  }

  backupName(sight: Sight, backup: OwnedBackup): string | undefined {
    const near = this.#seen(sight, this.#source.backupsMade(secondOf(backup), backup.volume_id));
    return keyOf(backupFolders(near), backup.id) ?? keyOf(this.backups(sight, backup.volume_id), backup.id);
  }

  /** Of all volumes, in the order of time. */
  byTime(sight: Sight): ReadonlyMap<string, OwnedBackup> {
    return backupsByTime(this.volumes(sight), ({ id }) => this.#seen(sight, this.#source.backups(id)));
  }

  atTime(sight: Sight, name: string): OwnedBackup | undefined {
    const beginning = timeInName(name);
    const found = beginning === undefined ? undefined : this.#near(sight, beginning).get(name);
    return found ?? (this.#hasOddTimes() ? this.byTime(sight).get(name) : undefined);
  }

  #near(sight: Sight, beginning: string): ReadonlyMap<string, OwnedBackup> {
    const { byName, nameOf } = this.#of(sight);
    const ofVolume = new Map<string, OwnedBackup[]>();
    for (const backup of this.#seen(sight, this.#source.backupsMade(beginning))) {
      const others = ofVolume.get(backup.volume_id);
      if (others === undefined) ofVolume.set(backup.volume_id, [backup]);
      else others.push(backup);
    }
    const volumes = new Map<string, ViewVolume>();
    for (const id of ofVolume.keys()) {
      const name = nameOf.get(id);
      const volume = name === undefined ? undefined : byName.get(name);
      if (name !== undefined && volume !== undefined) volumes.set(name, volume);
    }
    return backupsByTime(volumes, ({ id }) => ofVolume.get(id) ?? []);
  }

  /** Whether there are backups that are not found by the time in their names: then all names have to be made. */
  #hasOddTimes(): boolean {
    const generation = this.#source.generation();
    if (this.#odd?.generation !== generation) this.#odd = { generation, any: this.#anyOddTime() };
    return this.#odd.any;
  }

  #anyOddTime(): boolean {
    for (const id of this.#source.volumeIds())
      for (const backup of this.#source.backups(id)) if (hasOddTime(backup)) return true;
    return false;
  }

  *#seen<B extends OwnedBackup>(sight: Sight, backups: Iterable<B>): Iterable<B> {
    for (const backup of backups) if (sight.sees(backup.project_id)) yield backup;
  }

  #of(sight: Sight): Volumes {
    const generation = this.#source.generation();
    let volumes = this.#volumes.get(sight.key);
    if (volumes?.generation !== generation) {
      const byName = volumeFolders(this.#volumesSeen(sight));
      volumes = { generation, byName, nameOf: new Map([...byName].map(([name, { id }]) => [id, name])) };
    }
    this.#volumes.delete(sight.key);
    this.#volumes.set(sight.key, volumes);
    for (const [oldest] of this.#volumes) {
      if (this.#volumes.size <= viewSightsMax) break;
      this.#volumes.delete(oldest);
    }
    return volumes;
  }

  *#volumesSeen(sight: Sight): Iterable<ViewVolume> {
    for (const id of this.#source.volumeIds()) {
      for (const { volume_name: name } of this.#seen(sight, this.#source.backups(id))) {
        yield { id, name };
        break;
      }
    }
  }
}

function keyOf(folders: ReadonlyMap<string, { readonly id: string }>, id: string): string | undefined {
  for (const [name, value] of folders) if (value.id === id) return name;
  return undefined;
}
