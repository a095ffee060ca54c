/** Where things are in a native repository, and the fixed numbers of its format. Source: FORMAT.md, "Objects". Pure. */

import { digestBytes } from '../base/bytes.ts';
import { fanout } from '../base/limits.ts';

export const formatVersion = 1;
/** Bytes of one page of the map. */
export const pageBytes = fanout * digestBytes;

export const configKey = 'basalt-repository.json';
export const lockKey = 'locks/exclusive.json';
export const manifestPrefix = 'manifests/';
export const packPrefix = 'packs/';
export const notePrefix = 'notes/';

export const manifestKey = (backupId: string): string => `${manifestPrefix}${backupId}.json`;
/** The backup id in a manifest's key, or undefined where it is no such key. */
export const backupIdOf = (key: string): string | undefined =>
  /^manifests\/([0-9a-f-]{36})\.json$/.exec(key)?.[1];

export const noteKey = (backupId: string): string => `${notePrefix}${backupId}.json`;
/** The backup id in a note's key, or undefined where it is no such key. */
export const notedBackupOf = (key: string): string | undefined =>
  /^notes\/([0-9a-f-]{36})\.json$/.exec(key)?.[1];

/** `name`: digest of the pack's directory in hex. */
export const packKey = (name: string): string => `${packPrefix}${name.slice(0, 2)}/${name}.pack`;
export const packNameOf = (key: string): string | undefined =>
  /^packs\/[0-9a-f]{2}\/([0-9a-f]{64})\.pack$/.exec(key)?.[1];

/** Levels of pages above the blocks of a volume: the smallest h of at least 1 with fanout^h blocks >= size. */
export function mapHeight(sizeBytes: number, blockBytes: number): number {
  let height = 1;
  for (let covered = fanout * blockBytes; covered < sizeBytes; covered *= fanout) height += 1;
  return height;
}
