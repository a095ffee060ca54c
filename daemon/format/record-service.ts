/** The services that records of backups name: the class path of a backup driver of Cinder, or the native repository's own.
 *  Pure. Promises: a text means at most one service. What it does not know: which repositories there are. */

import { z } from 'zod';
import { Fault } from '../base/faults.ts';

/** How a service keeps its data: blocks of ours, Cinder's chunked objects, or snapshots in Ceph. */
export type RecordKind = 'native' | 'cinder' | 'ceph';

export interface RecordService {
  readonly kind: RecordKind;
  /** As a record names it. */
  readonly path: string;
  /** The kind of storage that Cinder's driver writes to. */
  readonly driver: string;
}

/** No driver of Cinder begins with this, so that a Cinder refuses our records. */
export const nativeService = 'basalt.repository.native.NativeRepository';

const services: readonly RecordService[] = [
  { kind: 'native', driver: 'native', path: nativeService },
  { kind: 'cinder', driver: 'posix', path: 'cinder.backup.drivers.posix.PosixBackupDriver' },
  { kind: 'cinder', driver: 'nfs', path: 'cinder.backup.drivers.nfs.NFSBackupDriver' },
  { kind: 'cinder', driver: 'glusterfs', path: 'cinder.backup.drivers.glusterfs.GlusterfsBackupDriver' },
  { kind: 'cinder', driver: 'swift', path: 'cinder.backup.drivers.swift.SwiftBackupDriver' },
  { kind: 'cinder', driver: 's3', path: 'cinder.backup.drivers.s3.S3BackupDriver' },
  { kind: 'cinder', driver: 'gcs', path: 'cinder.backup.drivers.gcs.GoogleBackupDriver' },
  { kind: 'ceph', driver: 'ceph', path: 'cinder.backup.drivers.ceph.CephBackupDriver' },
];

export const recordServices = services;

/** The service that `text` names: its path, or the module that it is in, as records of older Cinders have it.
 *  SERVICE_UNKNOWN. */
export function recordServiceOf(text: string): RecordService {
  const found = services.find(({ path }) => path === text || path.slice(0, path.lastIndexOf('.')) === text);
  if (found !== undefined) return found;
  throw new Fault('SERVICE_UNKNOWN', `Cannot import a record of service "${text}": there is no such service`);
}

const nativeMetadata = z.object({ repository: z.uuid(), root: z.string().regex(/^[0-9a-f]{64}$/) });

/** What the record of a native backup says of where its data is. */
export type NativeMetadata = z.infer<typeof nativeMetadata>;

/** The `service_metadata` of a native backup. */
export const sealNativeMetadata = ({ repository, root }: NativeMetadata): string =>
  JSON.stringify({ repository, root });

/** RECORD_INVALID where `text` is none of a native backup. */
export function openNativeMetadata(text: string | null): NativeMetadata {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '');
  } catch {
    value = undefined;
  }
  const parsed = nativeMetadata.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Fault(
    'RECORD_INVALID',
    'Cannot use the record: its "service_metadata" is none of a native repository',
  );
}
