/** Which folder of the view has the files that `basaltctl mount` shows.
 *  Promises: what can't be read is refused, with what is there and what else could be done; a file system is opened before it is shown.
 *  Knows nothing of mounts. */

import { join } from 'node:path';
import { Fault } from '../base/faults.ts';
import type { FileSystemDescription } from './browse/wire.ts';
import { isReadable } from './inside/contents.ts';
import type { InnerVolume } from './inside/volumes.ts';

export interface FilesFolder {
  readonly path: string;
  /** Null where there are several, each a folder. */
  readonly fileSystem: string | null;
  readonly notes: readonly string[];
}

export interface FilesWish {
  readonly backupId: string;
  /** Null: the one file system that there is, or all of several. */
  readonly partition: number | null;
  /** `files` in the folder of the backup. */
  readonly folder: string;
  readonly volumes: readonly InnerVolume[];
  /** FILESYSTEM_UNKNOWN, READER_FAILED and what reading the image can end with. */
  readonly describe: () => Promise<FileSystemDescription>;
}

/** INVALID_ARGUMENT, FILESYSTEM_UNKNOWN, and what `describe` ends with. */
export async function filesFolder({
  backupId,
  partition,
  folder,
  volumes,
  describe,
}: FilesWish): Promise<FilesFolder> {
  const readable = volumes.filter(({ content }) => isReadable(content));
  if (partition === null && readable.length > 1) return { path: folder, fileSystem: null, notes: [] };
  const wanted = partition === null ? readable[0] : volumes.find(({ name }) => name === String(partition));
  if (partition !== null && wanted === undefined) {
    throw new Fault(
      'INVALID_ARGUMENT',
      `Cannot use partition "${partition}": there is no such partition; ${listOf(volumes)}`,
      {
        hint: 'Name one of these partitions with --partition, or leave it out',
      },
    );
  }
  if (wanted === undefined || !isReadable(wanted.content)) throw unreadable(backupId, partition, volumes);
  const { kind, notes } = await describe();
  return { path: join(folder, wanted.name), fileSystem: kind, notes };
}

/** What the kernel mounts and the reader does not read. */
const kernelOnly: ReadonlySet<string> = new Set(['btrfs']);

function unreadable(backupId: string, partition: number | null, volumes: readonly InnerVolume[]): Fault {
  const part = partition === null ? '' : ` of partition "${partition}"`;
  const meant = volumes.filter(({ name }) => partition === null || name === String(partition));
  const byKernel = meant.find(({ content }) => content !== null && kernelOnly.has(content));
  const named = byKernel === undefined || byKernel.name === '' ? '' : ` --partition ${byKernel.name}`;
  const hint =
    byKernel === undefined
      ? 'Read the image itself under the view folder'
      : `An administrator may mount it by the kernel: basaltctl mount BACKUP DIR --kernel${named}`;
  const message = `Cannot read files${part} of backup "${backupId}": ${listOf(meant)}`;
  return new Fault('FILESYSTEM_UNKNOWN', message, { hint });
}

function listOf(volumes: readonly InnerVolume[]): string {
  const told = (content: string | null) => (content === null ? 'nothing known' : `"${content}"`);
  const [only] = volumes;
  if (only !== undefined && volumes.length === 1) return `what is there is ${told(only.content)}`;
  return `its partitions are ${volumes.map(({ name, content }) => `${name} (${told(content)})`).join(', ')}`;
}
