/** Makes the files of a backup visible at a folder, and undoes it.
 *  Promises: the catalog knows of a mount before its first command runs and until its last one has; the image under it is the
 *  one of the view, so that every byte is verified; the file system is mounted read-only, without journal replay. */

import { randomUUID } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { Fault } from '../base/faults.ts';
import type { JobRecord, MountRecord } from '../catalog/records.ts';
import {
  checkMountPoint,
  type FileSystemMount,
  mountFileSystem,
  unmountFileSystem,
} from '../view/file-system-mount.ts';
import type { View } from '../view/view.ts';
import { findBackup, requireReadable, requireStillReadable } from './find.ts';
import { type Services, timestamp } from './services.ts';

export interface MountOrder {
  readonly backup: string;
  readonly directory: string;
  readonly partition: number | null;
  readonly project: string;
  /** Whose folder it must be; null: an administrator may name any. */
  readonly ownerUid: number | null;
}

function requireView(services: Services): View {
  const view = services.view();
  if (view !== undefined) return view;
  throw new Fault('MOUNT_FAILED', 'Cannot mount a backup: the view is switched off', {
    hint: 'Start basaltd with --view-dir',
  });
}

export async function mountBackup(
  services: Services,
  order: MountOrder,
): Promise<{ mount: MountRecord; job: JobRecord }> {
  const backup = findBackup(services.catalog, order.backup, order.project);
  requireReadable(backup, 'mount');
  const view = requireView(services);
  const repository = await services.repositories.of(backup);
  await repository.manifest(backup.id);
  const forbidden = [view.directory, services.stateDirectory];
  const directory = await checkMountPoint(order.directory, forbidden);
  // Other requests may have come between: nothing awaits from here until the job has begun.
  requireStillReadable(services, backup, 'mount');
  const mounts = [...services.catalog.all('mounts')];
  if (services.busyFolders.has(directory) || mounts.some((other) => other.directory === directory)) {
    throw new Fault(
      'MOUNT_POINT_UNUSABLE',
      `Cannot mount at "${directory}": another mount is being made there`,
    );
  }
  let mount: MountRecord = {
    id: randomUUID(),
    backup_id: backup.id,
    project_id: order.project,
    directory,
    partition: order.partition,
    image_path: view.imagePath(backup.id),
    loop_device: null,
    file_system: null,
    created_at: timestamp(services.clock),
  };
  const onStep = async (step: FileSystemMount) => {
    mount = { ...mount, ...step };
    await services.catalog.commit((changes) => changes.put('mounts', mount));
  };
  services.busyFolders.add(directory);
  const submitted = services.jobs.submit({
    kind: 'mount',
    project_id: order.project,
    backup_id: backup.id,
    volume_id: backup.volume_id,
    begin: (changes) => changes.put('mounts', mount),
    run: async () => {
      const { image_path: imagePath, partition } = mount;
      const made = await mountFileSystem({
        imagePath,
        directory,
        partition,
        ownerUid: order.ownerUid,
        forbidden,
        onStep,
      });
      mount = { ...mount, ...made };
      return { ...made, backup_id: backup.id };
    },
    end: (changes, fault) => {
      if (fault === undefined) changes.put('mounts', mount);
      else changes.remove('mounts', mount.id);
    },
  });
  const job = await submitted.finally(() => services.busyFolders.delete(directory));
  return { mount, job };
}

export async function unmountBackup(
  services: Services,
  directory: string,
  project: string,
): Promise<JobRecord> {
  const path = await realpath(directory).catch(() => directory);
  const mount = [...services.catalog.all('mounts')].find(
    (record) =>
      record.project_id === project && (record.directory === path || record.directory === directory),
  );
  if (mount === undefined)
    throw new Fault('MOUNT_UNKNOWN', `Cannot unmount "${directory}": no backup is mounted there`);
  return services.jobs.submit({
    kind: 'unmount',
    project_id: project,
    backup_id: mount.backup_id,
    volume_id: null,
    run: async () => {
      await unmountFileSystem(mount, { lazy: false });
      return { directory: mount.directory, backup_id: mount.backup_id };
    },
    end: (changes, fault) => {
      if (fault === undefined) changes.remove('mounts', mount.id);
    },
  });
}

/** Undoes every mount there is, the youngest first; gives what could not be undone. For the stop of the daemon, and for the
 *  start after a crash. */
export async function unmountAll(
  services: Pick<Services, 'catalog'>,
): Promise<{ mount: MountRecord; why: string }[]> {
  const left: { mount: MountRecord; why: string }[] = [];
  const mounts = [...services.catalog.all('mounts')].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  for (const mount of mounts) {
    try {
      await unmountFileSystem(mount, { lazy: true });
      await services.catalog.commit((changes) => changes.remove('mounts', mount.id));
    } catch (thrown) {
      left.push({ mount, why: thrown instanceof Error ? thrown.message : String(thrown) });
    }
  }
  return left;
}
