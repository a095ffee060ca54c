/** Names of the folders in the view. Pure.
 *  Promises: a name is valid as a folder; two volumes, or two backups of one volume, never share one; a name depends only
 *  on what there is, not on the order in which it came. Knows nothing of FUSE. */

import { fileNameBytesMax } from '../base/limits.ts';

export interface ViewBackup {
  readonly id: string;
  readonly volume_id: string;
  readonly created_at: string;
  readonly data_timestamp: string;
  readonly size_bytes: number;
}

/** A folder of the view's own beside those of the volumes. */
export const byTimeName = 'by-time';

const shortIdLength = 8;
/** Ends like a name with a suffix of ours: such a name gets one too, so that it can't be taken for another volume. */
const reservedEnding = / \([0-9a-zA-Z-]+\)$/;

/** Folder name to volume. A volume has its bare name where that is safe, not ours, and no other volume has it; else `name (id)`,
 *  with the first eight characters of the id where they are enough to tell them apart. */
export function volumeFolders<V extends { readonly id: string; readonly name: string }>(
  volumes: Iterable<V>,
): Map<string, V> {
  const groups = new Map<string, V[]>();
  for (const volume of volumes) {
    const base = safeName(volume.name);
    const group = groups.get(base);
    if (group === undefined) groups.set(base, [volume]);
    else group.push(volume);
  }
  const folders = new Map<string, V>();
  for (const [base, group] of groups) {
    const only = group[0];
    if (group.length === 1 && only?.name === base && base !== byTimeName && !reservedEnding.test(base)) {
      folders.set(base, only);
      continue;
    }
    const short = new Set(group.map(({ id }) => shortId(id)));
    const shortIsEnough = short.size === group.length;
    for (const volume of group) {
      folders.set(withSuffix(base, shortIsEnough ? shortId(volume.id) : safeName(volume.id)), volume);
    }
  }
  return folders;
}

/** Folder name to backup, of the backups of one volume. */
export function backupFolders<B extends ViewBackup>(backups: Iterable<B>): Map<string, B> {
  const all = [...backups];
  const counts = new Map<string, number>();
  for (const backup of all) {
    const name = backupFolderName(backup);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return new Map(
    all.map((backup) => {
      const name = backupFolderName(backup);
      return [counts.get(name) === 1 ? name : `${timeOf(backup)}-${safeName(backup.id)}`, backup];
    }),
  );
}

/** Name to backup, of all backups, in the order of time: `time@volume`, or with the id in place of the volume where that
 *  says too little. */
export function backupsByTime<V, B extends ViewBackup>(
  volumes: ReadonlyMap<string, V>,
  backupsOf: (volume: V) => Iterable<B>,
): Map<string, B> {
  const groups = new Map<string, B[]>();
  for (const [folder, volume] of volumes) {
    for (const backup of backupsOf(volume)) {
      const name = cut(`${timeOf(backup)}@${folder}`, fileNameBytesMax);
      const group = groups.get(name);
      if (group === undefined) groups.set(name, [backup]);
      else group.push(backup);
    }
  }
  const names: [string, B][] = [];
  for (const [name, group] of groups) {
    for (const backup of group)
      names.push([group.length === 1 ? name : `${timeOf(backup)}-${safeName(backup.id)}`, backup]);
  }
  return new Map(names.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The folder of a backup: when it was made, in UTC, and the start of its id. (Two backups of one volume that share both
 *  have the whole id instead: see `backupFolders`.) */
export function backupFolderName(backup: { readonly id: string; readonly created_at: string }): string {
  return `${timeOf(backup)}-${shortId(backup.id)}`;
}

function timeOf(backup: { readonly created_at: string }): string {
  const time = new Date(backup.created_at);
  if (Number.isNaN(time.getTime())) return 'unknown-time';
  // Colons are legal, but programs that take host:path stumble over them.
  return time.toISOString().replaceAll(':', '.');
}

/** The second that a name of a backup says, as `created_at` begins with it; undefined where it says none. */
export function timeInName(name: string): string | undefined {
  const [, day, hour, minute, second] =
    /^(\d{4}-\d\d-\d\d)T(\d\d)\.(\d\d)\.(\d\d)\.\d{3}Z[-@]/.exec(name) ?? [];
  return day && `${day}T${hour}:${minute}:${second}`;
}

/** How `created_at` begins, up to the second. */
export const secondOf = ({ created_at: text }: { readonly created_at: string }): string => text.slice(0, 19);

/** Whether the name of a backup says another second than its `created_at`: that is not UTC, or no time. */
export function hasOddTime(backup: { readonly created_at: string }): boolean {
  const time = new Date(backup.created_at);
  return Number.isNaN(time.getTime()) || time.toISOString().slice(0, 19) !== secondOf(backup);
}

const shortId = (id: string): string => safeName(id).slice(0, shortIdLength);

const withSuffix = (base: string, suffix: string): string => {
  const ending = ` (${suffix})`;
  return cut(base, fileNameBytesMax - Buffer.byteLength(ending)) + ending;
};

/** `name` without what can't or should not be in the name of a folder. */
function safeName(name: string): string {
  const plain = cut(name.replaceAll(/[/\p{Cc}\p{Cs}]/gu, '_'), fileNameBytesMax);
  return plain === '' || plain === '.' || plain === '..' ? `_${plain}` : plain;
}

/** The longest start of `text` that has at most `bytes` bytes and ends between characters. */
function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  // A stream may end within a character, and leaves that for later.
  return new TextDecoder().decode(Buffer.from(text).subarray(0, bytes), { stream: true });
}
