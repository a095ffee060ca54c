/** The view: every backup as a file, through one FUSE mount.
 *
 *    kernel ─read▶ native session ─miss▶ lane ─▶ image.read ─verified▶ slot ─fill▶ kernel
 *
 *  Promises: bytes that could not be verified are never served, who wants them gets EIO; memory is what was lent and does not
 *  grow with what is read; no failure of a backup escapes into the daemon. Knows nothing of jobs or the catalog. */

import { dirname, join } from 'node:path';
import type { FuseSession } from '../../native/native.ts';
import { assert } from '../base/assert.ts';
import { Fault } from '../base/faults.ts';
import { blockBytesMax, viewSlotBytes } from '../base/limits.ts';
import { filesName } from './backup-folder.ts';
import { Browse } from './browse/browse.ts';
import { ReaderPool } from './browse/pool.ts';
import { Readers } from './browse/readers.ts';
import { type FilesFolder, filesFolder } from './files-folder.ts';
import { prepareViewDirectory } from './stale-mounts.ts';
import { type ViewParts, ViewServer } from './view-server.ts';

export type { ViewParts };

export interface View {
  readonly directory: string;
  /** Whether others than root are let in. */
  readonly allowOther: boolean;
  /** Files inside the images. */
  readonly browse: Browse;
  /** BACKUP_UNKNOWN where the view does not show the backup. */
  imagePath(backupId: string): string;
  /** The folder with the files of a backup, of a partition where one is named; what it is, and what should be known of it.
   *  INVALID_ARGUMENT, FILESYSTEM_UNKNOWN, READER_FAILED. */
  files(backupId: string, partition: number | null): Promise<FilesFolder>;
  /** The backup goes away: nothing of it is kept, and whoever still reads it gets EIO. */
  dropBackup(backupId: string): void;
  statistics(): ViewStatistics;
  close(): Promise<void>;
}

export type ViewStatistics = ReturnType<FuseSession['statistics']>;

/** Makes the mount. MOUNT_POINT_UNUSABLE, MOUNT_FAILED. */
export async function openView(parts: ViewParts): Promise<View> {
  assert(viewSlotBytes % blockBytesMax === 0, 'a slot holds whole blocks of every size');
  assert(parts.cache.length >= 2 * viewSlotBytes, 'the cache holds two slots');
  const directory = await prepareViewDirectory(parts.viewDirectory);
  const pool = new ReaderPool();
  const server = new ViewServer(parts, pool);
  try {
    await server.mount(directory);
  } catch (thrown) {
    pool.close();
    throw new Fault('MOUNT_FAILED', `Cannot mount the view at "${directory}": ${textOf(thrown)}`, {
      cause: thrown,
      hint: 'The view needs /dev/fuse and the right to mount: run basaltd as root',
    });
  }
  const readers = new Readers({
    program: parts.readerProgram,
    pool,
    volumes: async (backupId) => (await server.images.volumes(backupId)).volumes,
    fileOf: (backupId, volume) => server.fileOf(backupId, volume),
    nowMs: () => parts.clock.now(),
  });
  const browse = new Browse(readers);
  return {
    directory,
    allowOther: parts.allowOther,
    browse,
    files: async (backupId, partition) => {
      const folder = join(dirname(server.imagePath(backupId)), filesName);
      const { volumes } = await server.images.volumes(backupId);
      const volume = partition === null ? null : String(partition);
      const describe = async () => (await browse.details({ backupId, volume, path: '/' }, true)).fileSystem;
      return filesFolder({ backupId, partition, folder, volumes, describe });
    },
    imagePath: (backupId) => server.imagePath(backupId),
    dropBackup: (backupId) => {
      readers.dropBackup(backupId);
      server.dropBackup(backupId);
    },
    statistics: () => server.session.statistics(),
    close: () => {
      readers.close();
      const closed = server.close();
      pool.close();
      return closed;
    },
  };
}

const textOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
