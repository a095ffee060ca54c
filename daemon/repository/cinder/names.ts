/** Names in a Cinder repository: the container of a backup, the prefix that its objects share, the objects themselves.
 *  Source: cinder/backup/drivers/posix.py and chunkeddriver.py. Pure.
 *  Promises: what a container or a name leads to lies inside of the root; a name that Cinder's rules do not make is none. */

import { Fault } from '../../base/faults.ts';

/** Longest container and prefix: Cinder keeps both in columns of this length. */
const textLengthMax = 255;

/** The three kinds of objects that a backup has. */
export type ObjectPart =
  | { readonly kind: 'data'; readonly number: number }
  | { readonly kind: 'hashes' }
  | { readonly kind: 'metadata' };

export interface PrefixFacts {
  readonly volumeId: string;
  readonly backupId: string;
}

/** The container that Cinder gives a backup whose owner named none. */
export const defaultContainer = (backupId: string): string =>
  `${backupId.slice(0, 2)}/${backupId.slice(2, 4)}/${backupId}`;

/** The container as a path below the root, in one spelling; undefined where it would lead outside, or is none. */
export function safeContainer(container: string): string | undefined {
  if (container.length > textLengthMax || container.startsWith('/') || container.includes('\0'))
    return undefined;
  const parts = container.split('/').filter((part) => part !== '' && part !== '.');
  return parts.length === 0 || parts.includes('..') ? undefined : parts.join('/');
}

/** The container for a new backup. INVALID_ARGUMENT. */
export function containerFor(backupId: string, wanted: string | null): string {
  if (wanted === null) return defaultContainer(backupId);
  const container = safeContainer(wanted);
  if (container !== undefined && container === wanted) return container;
  throw new Fault('INVALID_ARGUMENT', `Cannot use container "${wanted}": it must be a path below the root`);
}

/** The prefix of a new backup. `createdAt`: ISO 8601, UTC. */
export function prefixOf({ volumeId, backupId, createdAt }: PrefixFacts & { createdAt: string }): string {
  const stamp = createdAt.replace(/\D/g, '').slice(0, 14);
  return `volume_${volumeId}_${stamp}_backup_${backupId}`;
}

export const objectName = (prefix: string, number: number): string =>
  `${prefix}-${String(number).padStart(5, '0')}`;
export const hashesName = (prefix: string): string => `${prefix}_sha256file`;
export const metadataName = (prefix: string): string => `${prefix}_metadata`;

const posixPrefix = /^volume_([^/]{1,64})_\d{14}_backup_([0-9a-f-]{36})$/;
const storePrefix = /^volume_([^/]{1,64})\/\d{14}\/az_[^/]+_backup_([0-9a-f-]{36})$/;

/** Whose prefix it is; undefined where it is none. */
export function parsePrefix(prefix: string): PrefixFacts | undefined {
  const [, volumeId, backupId] = posixPrefix.exec(prefix) ?? storePrefix.exec(prefix) ?? [];
  return volumeId === undefined || backupId === undefined ? undefined : { volumeId, backupId };
}

/** Takes the name of an object apart; undefined where it belongs to no backup. */
export function parseName(name: string): { readonly prefix: string; readonly part: ObjectPart } | undefined {
  const [, prefix, number, word] = /^(.*?)(?:-(\d{5,15})|_(sha256file|metadata))$/.exec(name) ?? [];
  if (prefix === undefined || parsePrefix(prefix) === undefined) return undefined;
  if (number !== undefined) return { prefix, part: { kind: 'data', number: Number(number) } };
  return { prefix, part: { kind: word === 'metadata' ? 'metadata' : 'hashes' } };
}
