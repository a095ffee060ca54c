/** The manifest: the one object that makes a backup exist, and the repository's own description.
 *  Source: FORMAT.md, "Manifests". Pure. Promises: what `parseManifest` gives is whole and of the shape below. */

import { z } from 'zod';
import { blockBytesMax, blockBytesMin, fanout, volumeBytesMax, writtenRangesMax } from '../base/limits.ts';
import { formatVersion, mapHeight } from './layout.ts';
import { type HashFunction } from './pack.ts';
import { openSealedJson, sealJson } from './sealed-json.ts';

const bytes = z.int().min(0).max(volumeBytesMax);
const blockBytes = z
  .int()
  .min(blockBytesMin)
  .max(blockBytesMax)
  .refine((value) => Number.isInteger(Math.log2(value)), 'a power of two');
const text = z.string().max(4096);
/** What becomes part of a key of the catalog. */
const shortText = z.string().max(255);

/** Lives in a manifest as JSON; what a later version knows beyond it is left out. */
const hookRun = z.object({
  hook: z.enum(['freeze', 'thaw']),
  /** null where it was ended by a signal, or could not be run. */
  exit_status: z.int().nullable(),
  timed_out: z.boolean(),
  milliseconds: z.int().min(0),
});

const evidence = z.object({
  /** How the bytes were held still while they were read. */
  read_from: z.enum(['source', 'temporary-snapshot', 'snapshot']),
  /** Who used the source at that time. */
  used_by: z.array(z.string().max(1024)).max(64),
  hooks: z.array(hookRun).max(8),
  /** Why a source in use was read without a snapshot; absent where there was one, or none was wanted. */
  no_snapshot: z.string().max(1024).optional(),
  /** The snapshot that was read, where a later one can be compared with it; ids are those of LVM. */
  made_from: z
    .object({
      kind: z.string().max(32),
      group: z.string().max(64),
      pool: z.string().max(64),
      origin: z.string().max(64),
      snapshot: z.string().max(64),
      thin_id: z.int().min(0),
      transaction: z.int().min(0),
    })
    .optional(),
  /** What came of hints on what changed since the parent; absent: there were none, all was read. */
  hints: z
    .object({ use: z.string().max(1024), kept_bytes: bytes, compared_blocks: z.int().min(0) })
    .optional(),
  /** What could not be read, and is zeros in the backup; absent: nothing. */
  unreadable: z
    .object({
      ranges: z.array(z.object({ offset: bytes, length: bytes })).max(writtenRangesMax),
      bytes,
      /** False where the ranges hold bytes that were read, too. */
      exact: z.boolean(),
    })
    .optional(),
});

/** What is known of how the source stood when it was read. */
export type Evidence = z.infer<typeof evidence>;
export type HookRun = z.infer<typeof hookRun>;

const manifestShape = z
  .object({
    format: z.literal(formatVersion),
    backup: z.object({
      id: z.uuid().regex(/^[0-9a-f-]+$/, 'lower case'),
      name: text.nullable(),
      description: text.nullable(),
      project_id: shortText,
      parent_id: text.nullable(),
      snapshot_id: text.nullable(),
      container: text.nullable(),
      availability_zone: text.nullable(),
      metadata: z.record(z.string().max(255), z.string().max(255)),
      created_at: shortText,
      data_timestamp: shortText,
      user_id: shortText.optional(),
      host: shortText.optional(),
      encryption_key_id: shortText.optional(),
    }),
    volume: z.object({
      id: shortText,
      name: text,
      source: text,
      size_bytes: bytes,
      /** Absent where it is the one of the backup. */
      project_id: shortText.optional(),
      metadata: z.record(z.string().max(255), z.string().max(255)).optional(),
    }),
    map: z.object({
      block_bytes: blockBytes,
      height: z.int().min(1).max(8),
      root: z.string().regex(/^[0-9a-f]{64}$/),
    }),
    statistics: z.object({
      read_bytes: bytes,
      zero_bytes: bytes,
      known_bytes: bytes,
      new_bytes: bytes,
      stored_bytes: bytes,
    }),
    consistency: text,
    evidence: evidence.optional(),
  })
  .refine(
    ({ map, volume }) => map.height === mapHeight(volume.size_bytes, map.block_bytes),
    'the height of the map does not fit the size of the volume',
  );

export type Manifest = z.infer<typeof manifestShape>;

const storedFactsShape = z.object({
  backup: manifestShape.shape.backup,
  volume: manifestShape.shape.volume,
  statistics: manifestShape.shape.statistics,
  consistency: text,
  evidence: evidence.optional(),
});

/** What a backup in a format of somebody else carries along of its manifest; undefined where `json` is no such thing. */
export function parseStoredFacts(json: string | null): z.infer<typeof storedFactsShape> | undefined {
  try {
    return storedFactsShape.safeParse(JSON.parse(json ?? 'null')).data;
  } catch {
    return undefined;
  }
}

/** How a repository keeps its backups: in our own format, or in Cinder's. */
export const repositoryKinds = ['native', 'cinder'] as const;
export type RepositoryKind = (typeof repositoryKinds)[number];

/** What a repository of any kind says of a backup. */
export interface BackupManifest
  extends Pick<Manifest, 'backup' | 'volume' | 'statistics' | 'consistency' | 'evidence'> {
  /** Only in a native repository. */
  readonly map?: Manifest['map'];
  /** Data objects of the backup, where it has objects of its own. */
  readonly object_count?: number;
  /** Only in a Cinder repository: where the backup is, and the backups that it builds on, itself first. */
  readonly cinder?: {
    readonly prefix: string;
    readonly chain: readonly string[];
    readonly compressions: readonly string[];
  };
}

const repositoryShape = z.object({
  format: z.literal(formatVersion),
  kind: z.literal('native'),
  id: z.uuid(),
  block_bytes: blockBytes,
  fanout: z.literal(fanout),
  hash: z.literal('blake3-256'),
  created_at: text,
});

/** What a repository says of itself. */
export type RepositoryConfig = z.infer<typeof repositoryShape>;

export const sealManifest = (manifest: Manifest, hash: HashFunction): Buffer => sealJson(manifest, hash);

/** The manifest, or the clause that is broken as text. */
export const parseManifest = (bytes: Buffer, hash: HashFunction): Manifest | string =>
  parse(manifestShape, bytes, hash);

export const sealRepositoryConfig = (config: RepositoryConfig, hash: HashFunction): Buffer =>
  sealJson(config, hash);

/** The description; the version number where it is of another format; else the clause that is broken as text. */
export function parseRepositoryConfig(bytes: Buffer, hash: HashFunction): RepositoryConfig | number | string {
  // The version is read before the digest is checked: a later format may seal its description in another way.
  const version = z.object({ format: z.int() }).safeParse(firstLine(bytes));
  if (version.success && version.data.format !== formatVersion) return version.data.format;
  return parse(repositoryShape, bytes, hash);
}

function parse<T>(shape: z.ZodType<T>, bytes: Buffer, hash: HashFunction): T | string {
  const opened = openSealedJson(bytes, hash);
  if (typeof opened === 'string') return opened;
  const parsed = shape.safeParse(opened.value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  return `its field "${issue?.path.join('.') ?? ''}" is wrong: ${issue?.message ?? 'unknown'}`;
}

function firstLine(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8').split('\n', 1)[0] ?? '') as unknown;
  } catch {
    return undefined;
  }
}
