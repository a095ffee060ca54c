/** How a Cinder repository of ours writes: kept in a file of its own in the root, whose name no backup has.
 *  Promises: what is read was checked; without the file the repository is one of Cinder's, read with its defaults and written by
 *  nobody but Cinder. Source: cinder/backup/drivers/posix.py (backup_file_size, backup_sha_block_size_bytes). */

import { z } from 'zod';
import { KiB, MiB } from '../../base/bytes.ts';
import { Fault } from '../../base/faults.ts';

export const compressions = ['zlib', 'bz2', 'zstd', 'none'] as const;
export type Compression = (typeof compressions)[number];

/** Cinder's own default for object stores. That for folders, 1 999 994 880, makes Cinder hold up to 6 GB when it restores. */
export const objectBytesDefault = 50 * MiB;
export const objectBytesMax = 1_999_994_880;
export const hashBlockBytesDefault = 32 * KiB;
const hashBlockBytesMin = 512;

const settingsShape = z
  .object({
    kind: z.literal('cinder'),
    id: z.uuid(),
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

export const sealSettings = (settings: CinderSettings): Buffer =>
  Buffer.from(`${JSON.stringify(settings, undefined, 2)}\n`);

/** REPOSITORY_DAMAGED. */
export function openSettings(bytes: Buffer, url: string): CinderSettings {
  const damaged = (why: string): Fault =>
    new Fault('REPOSITORY_DAMAGED', `Cannot use "${settingsKey}" of repository "${url}": ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw damaged('it holds no JSON');
  }
  const parsed = settingsShape.safeParse(value);
  if (parsed.success) return parsed.data;
  throw damaged(parsed.error.issues[0]?.message ?? 'unknown');
}

/** INVALID_ARGUMENT where Cinder's rules do not allow them. */
export function checkSettings(settings: CinderSettings): CinderSettings {
  const parsed = settingsShape.safeParse(settings);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join('.') ?? '';
  throw new Fault(
    'INVALID_ARGUMENT',
    `Cannot make a Cinder repository: ${field === '' ? '' : `"${field}" is wrong: `}${issue?.message ?? 'unknown'}`,
  );
}
