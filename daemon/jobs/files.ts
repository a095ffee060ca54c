/** Files inside backups, for those who may read the backup. BACKUP_UNKNOWN, BACKUP_BUSY, and what reading them can end with.
 *  Knows nothing of how a file system is read. */

import { Fault } from '../base/faults.ts';
import type {
  Browse,
  FileDetails,
  FileExtents,
  FileGathering,
  FileList,
  FilePiece,
  FileReference,
} from '../view/browse/browse.ts';
import { findBackupToRead, requireReadable } from './find.ts';
import type { Services } from './services.ts';

export interface FileOrder {
  /** Of the backup: id or name. */
  readonly backup: string;
  readonly project: string;
  readonly path: string;
  readonly node?: number | undefined;
  readonly partition?: number | undefined;
  /** "GROUP/VOLUME" */
  readonly logical_volume?: string | undefined;
}

function browseOf({ view }: Services): Browse {
  const browse = view()?.browse;
  if (browse !== undefined) return browse;
  throw new Fault('MOUNT_FAILED', 'Cannot read files of a backup: the view is switched off', {
    hint: 'Start basaltd with --view-dir',
  });
}

/** As the view calls it. */
function volumeOf({ partition, logical_volume: logical }: FileOrder): string | null {
  if (partition !== undefined && logical !== undefined)
    throw new Fault(
      'INVALID_ARGUMENT',
      'Cannot read files: both a partition and a logical volume are named',
      {
        hint: 'Name one of them',
      },
    );
  if (logical !== undefined) return `lvm/${logical}`;
  return partition === undefined ? null : String(partition);
}

function referenceOf(services: Services, order: FileOrder): FileReference {
  const backup = findBackupToRead(services.catalog, order.backup, order.project);
  requireReadable(backup, 'read files of');
  return { backupId: backup.id, volume: volumeOf(order), path: order.path, node: order.node };
}

export const listFiles = (services: Services, order: FileOrder, position: number): Promise<FileList> =>
  browseOf(services).list(referenceOf(services, order), position);

export const gatherFiles = (services: Services, order: FileOrder, position: number): Promise<FileGathering> =>
  browseOf(services).gather(referenceOf(services, order), position);

export const showFile = (services: Services, order: FileOrder, follow: boolean): Promise<FileDetails> =>
  browseOf(services).details(referenceOf(services, order), follow);

export const readFile = (
  services: Services,
  order: FileOrder,
  offset: number,
  length: number,
): Promise<FilePiece> => browseOf(services).read(referenceOf(services, order), offset, length);

export const findExtents = (services: Services, order: FileOrder, offset: number): Promise<FileExtents> =>
  browseOf(services).extents(referenceOf(services, order), offset);

export type { FileDetails, FileExtents, FileGathering, FileList, FilePiece };
