/** Begins a restore; `restore-run.ts` is what follows.
 *  Promises: a target that is too small, in use or of the wrong kind is refused before anything is recorded. */

import { createHash, randomUUID } from 'node:crypto';
import { mkdir, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, Fault } from '../base/faults.ts';
import type { BackupRecord, JobRecord, VolumeRecord } from '../catalog/records.ts';
import { backupStatus, volumeStatus } from '../catalog/statuses.ts';
import type { Location, RemoteLocation } from '../devices/connect/connectors.ts';
import { parseDeviceUrl } from '../devices/device-url.ts';
import { openTarget } from '../devices/target.ts';
import { findBackupToRead, requireReadable, requireStillReadable } from './find.ts';
import { givenLocation, storedOf, volumeLocation } from './locations.ts';
import { refuseOwnFiles } from './own-files.ts';
import { requireEncryptionAt, requireSameEncryption } from './restore-rules.ts';
import { restoreOrder } from './restore-run.ts';
import { type Services, timestamp } from './services.ts';

export interface RestoreOrder {
  readonly backup: string;
  readonly project: string;
  /** A registered volume, a URL or a path; absent: a new file in the restore folder. */
  readonly target: string | undefined;
  /** In place of it: a device as Cinder's connection_info describes it. */
  readonly connection_info?: unknown;
  /** Registers the target as a volume of this name. */
  readonly name: string | undefined;
  readonly force: boolean;
  /** Rate of this job alone, in bytes a second; 0: none. */
  readonly rate: number;
  readonly differential: boolean;
}

interface Destination {
  readonly url: string;
  /** How the target is attached; undefined: it is on this host. */
  readonly remote: RemoteLocation | undefined;
  /** The registered volume that the target is. */
  readonly volume: VolumeRecord | undefined;
  /** Name under which the target is registered afterwards. */
  readonly registerAs: string | undefined;
  /** Id of the registered target, or the one that it will have. */
  readonly volumeId: string | undefined;
}

export async function restoreBackup(
  services: Services,
  order: RestoreOrder,
): Promise<{ backup: BackupRecord; job: JobRecord; target: string }> {
  const backup = findBackupToRead(services.catalog, order.backup, order.project);
  requireReadable(backup, 'restore');
  const repository = await services.repositories.of(backup);
  await repository.manifest(backup.id);
  const named = namedLocation(services, order);
  const destination = chooseDestination(services, backup, order, await sameAs(services, named), named);
  const release = occupy(services, destination.volume);
  try {
    await probeTarget(services, destination, backup, order);
    // Other requests may have come between: nothing awaits from here until the job has begun.
    requireStillReadable(services, backup, 'restore');
    const job = await submitRestore(services, order, backup, destination);
    return { backup, job, target: destination.url };
  } catch (thrown) {
    release();
    throw thrown;
  }
}

function submitRestore(
  services: Services,
  order: RestoreOrder,
  backup: BackupRecord,
  { url, remote, volume, registerAs, volumeId }: Destination,
): Promise<JobRecord> {
  const { catalog, jobs } = services;
  const record = { project_id: order.project, backup_id: backup.id, volume_id: volume?.id ?? null };
  const plan = {
    kind: 'restore',
    target: url,
    connection: remote === undefined ? null : storedOf(remote),
    register_as: registerAs ?? null,
    register_id: registerAs === undefined ? null : (volumeId ?? null),
    force: order.force,
    differential: order.differential,
    bytes_per_second: order.rate,
  } as const;
  return jobs.submit({
    ...restoreOrder(services, record, plan),
    begin: (changes) => {
      const now = catalog.get('backups', backup.id) ?? backup;
      const updated_at = timestamp(services.clock);
      const restore_volume_id = volumeId ?? null;
      changes.put('backups', backupStatus.move(now, 'restoring', { restore_volume_id, updated_at }));
      const onto = volume === undefined ? undefined : (catalog.get('volumes', volume.id) ?? volume);
      if (onto === undefined) return;
      const previous_status = onto.status;
      changes.put('volumes', volumeStatus.move(onto, 'restoring-backup', { previous_status }));
    },
  });
}

/** Makes the registered target of a restore unusable for other jobs, before the catalog says so. VOLUME_BUSY. */
function occupy({ busyVolumes: busy }: Services, volume: VolumeRecord | undefined): () => void {
  if (volume === undefined) return () => undefined;
  if (busy.has(volume.id)) {
    throw new Fault(
      'VOLUME_BUSY',
      `Cannot restore to volume "${volume.name}": another job has just begun on it`,
    );
  }
  busy.add(volume.id);
  return () => void busy.delete(volume.id);
}

function requireIdle({ name, status }: VolumeRecord): void {
  if (status === 'available' || status === 'error_restoring') return;
  throw new Fault('VOLUME_BUSY', `Cannot restore to volume "${name}": its status is "${status}"`);
}

/** What the target is where it is no name. */
function namedLocation(
  { connectors }: Services,
  { target, connection_info: info }: RestoreOrder,
): Location | undefined {
  if (info !== undefined) return givenLocation(connectors, { source: target, connection_info: info });
  return target?.includes('/') === true ? connectors.parse(target) : undefined;
}

/** Whether a volume is the named target: by its paths, or by the device that would be attached. */
async function sameAs(
  { connectors, attachments }: Services,
  named: Location | undefined,
): Promise<(volume: VolumeRecord) => boolean> {
  if (named === undefined) return () => false;
  if (named.where === 'attached') {
    const key = attachments.keyOf(named);
    return (volume) => {
      const location = volumeLocation(connectors, volume);
      return location.where === 'attached' && attachments.keyOf(location) === key;
    };
  }
  const { path } = parseDeviceUrl(named.url);
  const paths = new Set([path, await realpath(path).catch(() => path)]);
  return (volume) => {
    const location = volumeLocation(connectors, volume);
    return location.where === 'here' && paths.has(parseDeviceUrl(location.url).path);
  };
}

function chooseDestination(
  services: Services,
  backup: BackupRecord,
  order: RestoreOrder,
  isSame: (volume: VolumeRecord) => boolean,
  location: Location | undefined,
): Destination {
  const { target, name, project } = order;
  const volumes = [...services.catalog.all('volumes')].filter(({ project_id }) => project_id === project);
  if (name !== undefined && volumes.some((volume) => volume.name === name)) {
    throw new Fault('ALREADY_EXISTS', `Cannot register volume "${name}": there is one of that name`);
  }
  if (target === undefined && location === undefined) {
    const registerAs =
      name ?? freeName(`restore_backup_${backup.id}`, new Set(volumes.map((volume) => volume.name)));
    const file = `${registerAs.replaceAll(/[^\w.-]/g, '_').slice(0, 200)}.img`;
    const url = join(restoreFolderOf(services, project), file);
    return { url, remote: undefined, volume: undefined, registerAs, volumeId: randomUUID() };
  }
  const named = volumes.find(({ id, name: known }) => id === target || known === target);
  // Whoever names a path writes to the volume all the same: half a restore must not be taken for its data.
  const volume = named ?? volumeAt(volumes.filter(isSame), backup.volume_id);
  if (volume === undefined) {
    if (location === undefined)
      throw new Fault('VOLUME_UNKNOWN', `Cannot find volume "${target}" to restore to`, {
        hint: `For a file of that name in the folder where you are, write "./${target}"`,
      });
    requireEncryptionAt(backup, location);
    const volumeId = name === undefined ? undefined : randomUUID();
    return { url: location.url, remote: remoteOf(location), volume: undefined, registerAs: name, volumeId };
  }
  if (name !== undefined)
    throw new Fault(
      'ALREADY_EXISTS',
      `Cannot register "${target ?? volume.source}" as "${name}": it is volume "${volume.name}"`,
      {
        hint: 'Leave out --name',
      },
    );
  requireIdle(volume);
  requireSameEncryption(backup, volume);
  const remote = remoteOf(volumeLocation(services.connectors, volume));
  return { url: volume.source, remote, volume, registerAs: undefined, volumeId: volume.id };
}

const remoteOf = (location: Location): RemoteLocation | undefined =>
  location.where === 'attached' ? location : undefined;

/** Of several volumes at one place, the one that was backed up. */
function volumeAt(there: readonly VolumeRecord[], preferred: string): VolumeRecord | undefined {
  return there.find(({ id }) => id === preferred) ?? there[0];
}

/** Each project has a folder of its own: files of equal names would meet in a common one, and --force writes over what is there. */
function restoreFolderOf({ restoreDirectory }: Services, project: string): string {
  if (project === 'default') return restoreDirectory;
  if (/^[\w-]+$/.test(project)) return join(restoreDirectory, `project-${project}`);
  // Not every name of a project is one of a folder.
  const digest = createHash('sha256').update(project).digest('hex').slice(0, 32);
  return join(restoreDirectory, `project~${digest}`);
}

function freeName(wanted: string, taken: ReadonlySet<string>): string {
  let name = wanted;
  for (let number = 2; taken.has(name); number += 1) name = `${wanted}_${number}`;
  return name;
}

/** Looks at the target before anything is recorded. What exists is opened as it will be, and let go untouched. */
async function probeTarget(
  services: Services,
  { url, remote }: Destination,
  backup: BackupRecord,
  order: RestoreOrder,
): Promise<void> {
  if (remote !== undefined) return probeRemote(remote, order);
  const { path } = parseDeviceUrl(url);
  await refuseOwnFiles(services, path);
  if (order.target === undefined) await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const exists = await stat(path).then(
    () => true,
    (thrown: unknown) => errnoOf(thrown) !== 'ENOENT',
  );
  if (exists) {
    const target = await openTarget(services, url, { sizeBytes: backup.size_bytes, force: order.force });
    await target.abort();
    return;
  }
  const folder = await stat(dirname(path)).catch(() => undefined);
  if (folder?.isDirectory() !== true) {
    throw new Fault('TARGET_UNUSABLE', `Cannot make "${url}": there is no folder "${dirname(path)}"`);
  }
}

/** All that can be known of a device before it is attached, which takes its time: the job finds out the rest. */
function probeRemote({ url, readOnly }: RemoteLocation, { force }: RestoreOrder): void {
  if (readOnly) {
    throw new Fault('TARGET_READ_ONLY', `Cannot write to "${url}": the storage lets this host only read it`);
  }
  if (!force) {
    throw new Fault(
      'TARGET_EXISTS',
      `Cannot write to "${url}" without being forced to: it is a device and may hold data`,
    );
  }
}
