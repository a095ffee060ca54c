/** Chains of Cinder backups for tests, made by a small writer in another language, and a daemon that knows of them. */

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JobValue } from '../../daemon/protocol/values.ts';
import type { Daemon } from './daemon.ts';

const writer = fileURLToPath(new URL('./cinder/write_backups.py', import.meta.url));

export interface MadeBackup {
  readonly id: string;
  readonly parent_id: string | null;
  readonly volume_id: string;
  readonly container: string;
  readonly prefix: string;
  /** File with the volume as it was. */
  readonly image: string;
}

export interface ChainOrder {
  readonly compression: 'none' | 'zlib' | 'bz2' | 'zstd';
  readonly count: number;
  readonly seed: number;
  readonly size: number;
  /** Bytes of an object and of a hash block. */
  readonly chunk?: number;
  readonly block?: number;
  readonly container?: string;
  /** How the algorithm is spelt. */
  readonly word?: string;
  /** Number of the backup before which the volume grows. */
  readonly grow?: number;
  readonly indent?: number;
  /** Properties and key of the volume, as Cinder keeps them with a backup. */
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly encryption_key_id?: string;
  /** False: the volume keeps its size. */
  readonly shrink?: boolean;
}

/** Writes a chain below `folder`: the repository in `repository`, the volumes in `images`. */
export function makeChain(folder: string, order: ChainOrder): MadeBackup[] {
  const [root, images] = [join(folder, 'repository'), join(folder, 'images')];
  for (const path of [root, images]) mkdirSync(path, { recursive: true });
  const whole = { chunk: 4 * 1024 * 1024, block: 32_768, root, images, ...order };
  const output = execFileSync('/usr/bin/python3', [writer, JSON.stringify(whole)], { encoding: 'utf8' });
  return JSON.parse(output) as MadeBackup[];
}

/** Makes the repository below `folder` known as `name` and scans it; gives the job as it ended. */
export async function addAndScan(daemon: Daemon, folder: string, name = 'old'): Promise<JobValue> {
  const url = `cinder+file://${join(folder, 'repository')}`;
  await daemon.call('repository.add', { name, url });
  return daemon.done(daemon.call('repository.scan', { name }));
}

/** Path of one of the objects of a backup. */
export const objectOf = (folder: string, { container, prefix }: MadeBackup, ending: string): string =>
  join(folder, 'repository', container, `${prefix}${ending}`);
