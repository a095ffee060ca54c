/** What every contestant in the rows of one volume can do. A contestant that lacks a thing answers undefined, and the row
 *  goes without it. Promises: a session keeps everything it makes below the folder that it was given. */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Sample } from '../measure/sample.ts';

export interface Backup {
  readonly id: string;
  /** Absent where making it is no measurement. */
  readonly sample: Sample | undefined;
}

export interface Session {
  /** Backs up the file at `path`, always the same one. With `after`: incrementally, after that backup. */
  backUp(path: string, after?: string): Promise<Backup | undefined>;
  /** Writes the backup to a file that does not exist, or over all of one that does. */
  restore(id: string, target: string, over: boolean): Promise<Sample | undefined>;
  /** Where the image of the backup can be read without restoring it. */
  imageOf?(id: string): Promise<string>;
  /** The process that serves `imageOf`. */
  readonly server?: number;
  /** Mounts the backup at an empty folder, and says where its image is below it. Absent: it cannot be mounted. */
  mount?(id: string, folder: string): Promise<MountedImage>;
  close(): Promise<void>;
}

export interface MountedImage {
  readonly path: string;
  unmount(): Promise<void>;
}

export interface Contestant {
  readonly name: string;
  /** How it is set up and called, for the report. */
  readonly about: string;
  /** Why it cannot take part on this machine. */
  missing(): Promise<string | undefined>;
  open(folder: string): Promise<Session>;
}

/** Bytes of all files below a folder. */
export function sizeOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name);
    return sum + (entry.isDirectory() ? sizeOf(path) : statSync(path).size);
  }, 0);
}

/** Measures a backup, and adds by how much the repository grew. */
export async function withGrowth(repository: string, work: () => Promise<Sample>): Promise<Sample> {
  const before = sizeOf(repository);
  const sample = await work();
  return { ...sample, storedBytes: sizeOf(repository) - before };
}
