/** How a Cinder repository of ours writes: kept in a file of its own in the root, whose name no backup has.
 *  Promises: what is read was checked; without the file the repository is one of Cinder's, read with its defaults and written by
 *  nobody but Cinder. Source: cinder/backup/drivers/posix.py (backup_file_size, backup_sha_block_size_bytes). */

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { KiB, MiB } from '../../base/bytes.ts';
import { errnoOf, Fault } from '../../base/faults.ts';
import { writeFileAtomic } from '../../base/files.ts';
import { storageFault } from '../../storage/directory.ts';
import type { InitOptions } from '../repository.ts';

export const compressions = ['zlib', 'bz2', 'zstd', 'none'] as const;
export type Compression = (typeof compressions)[number];

/** Cinder's own default for object stores. That for folders, 1 999 994 880, makes Cinder hold up to 6 GB when it restores. */
export const objectBytesDefault = 50 * MiB;
export const objectBytesMax = 1_999_994_880;
export const hashBlockBytesDefault = 32 * KiB;
const hashBlockBytesMin = 512;
const settingsBytesMax = 64 * KiB;

const settingsShape = z
  .object({
    kind: z.literal('cinder'),
    created_at: z.string().max(64),
    compression: z.enum(compressions),
    object_bytes: z.int().min(hashBlockBytesMin).max(objectBytesMax),
    hash_block_bytes: z
      .int()
      .min(hashBlockBytesMin)
      .max(1 * MiB),
  })
  .refine(
    ({ hash_block_bytes: block }) => Number.isInteger(Math.log2(block)),
    'hash_block_bytes is a power of two',
  )
  .refine(
    ({ object_bytes, hash_block_bytes }) => object_bytes % hash_block_bytes === 0,
    'object_bytes is a multiple of hash_block_bytes',
  );

export type CinderSettings = z.infer<typeof settingsShape>;

export const settingsKey = 'basalt-cinder.json';

/** Undefined where there are none. REPOSITORY_DAMAGED. */
export async function readSettings(root: string, url: string): Promise<CinderSettings | undefined> {
  const damaged = (why: string): Fault =>
    new Fault('REPOSITORY_DAMAGED', `Cannot use "${settingsKey}" of repository "${url}": ${why}`);
  const path = join(root, settingsKey);
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > settingsBytesMax) throw damaged(`it is longer than ${settingsBytesMax} bytes`);
    text = await readFile(path, 'utf8');
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw storageFault('read', path, thrown);
  }
  const parsed = settingsShape.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw damaged(parsed.error.issues[0]?.message ?? 'unknown');
}

export async function writeSettings(root: string, settings: CinderSettings): Promise<void> {
  const path = join(root, settingsKey);
  await writeFileAtomic(path, `${JSON.stringify(settings, undefined, 2)}\n`).catch((thrown: unknown) => {
    throw storageFault('write to', path, thrown);
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** INVALID_ARGUMENT where Cinder's rules do not allow them. */
export function newSettings(options: InitOptions, createdAt: string): CinderSettings {
  if (options.blockBytes !== undefined) {
    throw new Fault(
      'INVALID_ARGUMENT',
      'Cannot make a Cinder repository with a block size of our own format',
      {
        hint: 'Name the size of hash blocks: --hash-block-size',
      },
    );
  }
  const parsed = settingsShape.safeParse({
    kind: 'cinder',
    created_at: createdAt,
    compression: options.compression ?? 'zlib',
    object_bytes: options.objectBytes ?? objectBytesDefault,
    hash_block_bytes: options.hashBlockBytes ?? hashBlockBytesDefault,
  });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join('.') ?? '';
  const why = `${field === '' ? '' : `"${field}" is wrong: `}${issue?.message ?? 'unknown'}`;
  throw new Fault('INVALID_ARGUMENT', `Cannot make a Cinder repository: ${why}`);
}
