/** The images of backups as the view reads them: opened, their tables read, the volumes inside found.
 *  Promises: few are kept at a time, each is read once however many ask, what failed is tried again; memory is what was lent to the lanes.
 *  Knows nothing of FUSE. */

import { Fault } from '../base/faults.ts';
import { viewOpenBackupsMax, viewTablesMax } from '../base/limits.ts';
import { type InnerVolumes, innerVolumes } from './inside/volumes.ts';
import { Kept } from './kept.ts';
import type { Lanes } from './lanes.ts';
import { bytesOf } from './tables/image-bytes.ts';
import type { Partition, ReadBytes } from './tables/range.ts';
import { readPartitions } from './tables/table.ts';
import type { OpenBackup, ViewSource } from './tree.ts';

export class Images {
  readonly #lanes: Lanes;
  readonly #opened: Kept<OpenBackup>;
  readonly #tables: Kept<readonly Partition[]>;
  readonly #volumes: Kept<InnerVolumes>;
  #closed = false;

  constructor(source: ViewSource, lanes: Lanes) {
    this.#lanes = lanes;
    this.#opened = new Kept(viewOpenBackupsMax, (backupId) => source.open(backupId));
    this.#tables = new Kept(viewTablesMax, (backupId) => this.#read(backupId, readPartitions));
    this.#volumes = new Kept(viewTablesMax, async (backupId) => {
      const partitions = await this.#tables.get(backupId);
      return this.#read(backupId, (read, sizeBytes) => innerVolumes(read, sizeBytes, partitions));
    });
  }

  get(backupId: string): Promise<OpenBackup> {
    return this.#opened.get(backupId);
  }

  partitions(backupId: string): Promise<readonly Partition[]> {
    return this.#tables.get(backupId);
  }

  volumes(backupId: string): Promise<InnerVolumes> {
    return this.#volumes.get(backupId);
  }

  /** Nobody reads it any more just now. */
  release(backupId: string): void {
    this.#opened.drop(backupId);
  }

  drop(backupId: string): void {
    this.#opened.drop(backupId);
    this.#tables.drop(backupId);
    this.#volumes.drop(backupId);
  }

  /** What is being read ends soon. */
  close(): void {
    this.#closed = true;
  }

  /** With the memory of a miss, and a block besides. */
  #read<T>(backupId: string, use: (read: ReadBytes, sizeBytes: number) => Promise<T>): Promise<T> {
    return this.#lanes.run(async (scratch) => {
      const { image } = await this.#opened.get(backupId);
      const read = bytesOf(image, scratch);
      const whileOpen: ReadBytes = (offset, length) => {
        if (this.#closed) throw new Fault('DAEMON_STOPPING', 'Cannot read: the view closes');
        return read(offset, length);
      };
      return use(whileOpen, image.sizeBytes);
    });
  }
}
