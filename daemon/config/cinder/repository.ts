/** Where a Cinder keeps its backups, as the URL of a repository within. Pure.
 *  Promises: gives a folder only where Cinder's driver writes to one on this host. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export type CinderPlace = { readonly url: string; readonly note: string } | { readonly refused: string };

/** The value of an option of the file, or what Cinder takes where it is not there. */
export type Look = (option: string) => string | undefined;

/** Options that say together where backups are. */
export const placeOptions: ReadonlySet<string> = new Set([
  'backup_driver',
  'backup_posix_path',
  'backup_share',
  'backup_mount_point_base',
]);

/** A native repository wants a folder of its own. */
const ownFolder = 'basalt';
const beside = (folder: string): string =>
  `for new backups, beside those of Cinder, which are read after: basaltctl repository add cinder cinder+${pathToFileURL(folder).href}`;

/** Undefined where the file says nothing about it. `isGiven`: the option is in the file. */
export function cinderPlace(look: Look, isGiven: (option: string) => boolean): CinderPlace | undefined {
  const driver = driverOf(look, isGiven);
  if (driver === undefined) return undefined;
  if (driver === 'posix') {
    const path = look('backup_posix_path') ?? '';
    return path.startsWith('/')
      ? { url: pathToFileURL(join(path, ownFolder)).href, note: beside(path) }
      : { refused: 'backup_posix_path is no absolute path' };
  }
  if (driver === 'nfs') {
    const [share, base] = [look('backup_share'), look('backup_mount_point_base') ?? ''];
    if (share === undefined || share === '') return { refused: 'backup_share is missing' };
    if (!base.startsWith('/')) return { refused: 'backup_mount_point_base is no absolute path' };
    // The folder in which Cinder's library mounts the share.
    const folder = join(base, createHash('md5').update(share).digest('hex'));
    return {
      url: pathToFileURL(join(folder, ownFolder)).href,
      note: `mount the share there before basaltd starts; ${beside(folder)}`,
    };
  }
  return { refused: `backups of driver "${driver}" are in no folder of this host` };
}

/** The last part of the module of the driver: `posix`, `swift`, …; a class name of it is left out. */
function driverOf(look: Look, isGiven: (option: string) => boolean): string | undefined {
  const path = look('backup_driver');
  if (path !== undefined) {
    return (
      /^(?:cinder\.backup\.drivers\.)?(\w{1,64})(?:\.\w{1,64})?$/.exec(path)?.[1] ?? 'of another project'
    );
  }
  if (isGiven('backup_posix_path')) return 'posix';
  return isGiven('backup_share') ? 'nfs' : undefined;
}
