/** Makes the files of a backup visible at a folder, and undoes it.
 *  Promises: the catalog knows of a mount before its first command runs and until its last one has; every byte comes from the
 *  view, so that it is verified; what the kernel mounts it mounts read-only, without journal replay. */

import { randomUUID } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { Fault } from '../base/faults.ts';
import type { JobRecord, MountRecord } from '../catalog/records.ts';
import { checkMountPoint } from '../view/file-system-mount.ts';
import { findBackupToRead, requireReadable, requireStillReadable } from './find.ts';
import { makeMount, requireView, undoMount } from './mounts.ts';
import { type Services, timestamp } from './services.ts';

export interface MountOrder {
  readonly backup: string;
  readonly directory: string;
  readonly partition: number | null;
  readonly kernel: boolean;
  readonly temporary: boolean;
  readonly project: string;
  /** Whose folder it must be; null: an administrator may name any. */
  readonly ownerUid: number | null;
}

export async function mountBackup(
  services: Services,
  order: MountOrder,
): Promise<{ mount: MountRecord; job: JobRecord }> {
  const backup = findBackupToRead(services.catalog, order.backup, order.project);
  requireReadable(backup, 'mount');
  const view = requireView(services);
  const repository = await services.repositories.of(backup);
  await repository.manifest(backup.id);
  const directory = await checkMountPoint(order.directory, [view.directory, services.stateDirectory]);
  // Other requests may have come between: nothing awaits from here until the job is submitted.
  requireStillReadable(services, backup, 'mount');
  refusePlaceOfAnother(services, directory);
  const record: MountRecord = {
    id: randomUUID(),
    backup_id: backup.id,
    project_id: order.project,
    directory,
    kind: order.kernel ? 'kernel' : 'files',
    // Only what was there once is made again after a start.
    wanted: false,
    owner_uid: order.ownerUid,
    partition: order.partition,
    image_path: view.imagePath(backup.id),
    loop_device: null,
    file_system: null,
    created_at: timestamp(services.clock),
  };
  return { mount: record, job: await begin(services, record, backup.volume_id, order.temporary) };
}

async function begin(
  services: Services,
  record: MountRecord,
  volumeId: string,
  temporary: boolean,
): Promise<JobRecord> {
  const { directory, backup_id } = record;
  let mount = record;
  const onStep = async (step: MountRecord) => {
    mount = step;
    await services.catalog.commit((changes) => changes.put('mounts', mount));
  };
  services.busyFolders.add(directory);
  const submitted = services.jobs.submit({
    kind: 'mount',
    project_id: record.project_id,
    backup_id,
    volume_id: volumeId,
    begin: (changes) => changes.put('mounts', mount),
    run: async () => {
      const { made, notes } = await makeMount(services, mount, onStep);
      mount = { ...made, wanted: !temporary };
      const { image_path, partition, loop_device, file_system } = mount;
      return { directory, temporary, image_path, partition, loop_device, file_system, backup_id, notes };
    },
    end: (changes, fault) => {
      if (fault === undefined) changes.put('mounts', mount);
      else changes.remove('mounts', mount.id);
    },
  });
  return submitted.finally(() => services.busyFolders.delete(directory));
}

/** MOUNT_POINT_UNUSABLE where another mount is, or is being made. */
function refusePlaceOfAnother({ catalog, busyFolders }: Services, directory: string): void {
  const isTaken = [...catalog.all('mounts')].some((other) => other.directory === directory);
  if (!isTaken && !busyFolders.has(directory)) return;
  throw new Fault(
    'MOUNT_POINT_UNUSABLE',
    `Cannot mount at "${directory}": it is the place of another mount`,
    { hint: 'List the mounts with: basaltctl view list' },
  );
}

export interface UnmountOrder {
  readonly directory: string;
  /** Although it is used. */
  readonly lazy: boolean;
  readonly project: string;
}

export async function unmountBackup(
  services: Services,
  { directory, lazy, project }: UnmountOrder,
): Promise<JobRecord> {
  const at = (path: string) =>
    [...services.catalog.all('mounts')].find(
      (record) => record.project_id === project && record.directory === path,
    );
  // As it was recorded first: to follow a path into a mount takes a thread that the mount may need to answer.
  const mount = at(directory) ?? at(await realpath(directory).catch(() => directory));
  if (mount === undefined)
    throw new Fault('MOUNT_UNKNOWN', `Cannot unmount "${directory}": no backup is mounted there`);
  return services.jobs.submit({
    kind: 'unmount',
    project_id: project,
    backup_id: mount.backup_id,
    volume_id: null,
    run: async () => {
      await undoMount(services.catalog.get('mounts', mount.id) ?? mount, { lazy });
      return { directory: mount.directory, backup_id: mount.backup_id };
    },
    end: (changes, fault) => {
      if (fault !== undefined) return;
      changes.remove('mounts', mount.id);
      services.waitingMounts.delete(mount.id);
    },
  });
}
