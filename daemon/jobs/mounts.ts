/** The mounts of `basaltctl mount`, as the records in the catalog tell of them: made, undone, and made again after a start.
 *  Promises: a mount that somebody wants comes back with the daemon, as soon as what it needs is there; what could not be undone
 *  is told. What it does not know: who asks. */

import { Fault, toFault } from '../base/faults.ts';
import { remountEveryMs } from '../base/limits.ts';
import type { MountRecord } from '../catalog/records.ts';
import { checkMountPoint, mountFileSystem, unmountFileSystem } from '../view/file-system-mount.ts';
import { mountViewFolder, unmountViewFolder } from '../view/folder-mount.ts';
import type { UnmountOptions } from '../view/unmount.ts';
import type { View } from '../view/view.ts';
import { requireReadable } from './find.ts';
import type { Services } from './services.ts';

export function requireView(services: Pick<Services, 'view'>): View {
  const view = services.view();
  if (view !== undefined) return view;
  throw new Fault('MOUNT_FAILED', 'Cannot mount a backup: the view is switched off', {
    hint: 'Start basaltd with --view-dir',
  });
}

/** Makes what the record says. `onStep` is told of each thing made before the next one is. */
export async function makeMount(
  services: Services,
  record: MountRecord,
  onStep: (record: MountRecord) => Promise<void>,
): Promise<{ made: MountRecord; notes: readonly string[] }> {
  const view = requireView(services);
  const { directory, partition, owner_uid: ownerUid, kind } = record;
  if (kind === 'files') {
    const { path, fileSystem, notes } = await view.files(record.backup_id, partition);
    await mountViewFolder({ viewDirectory: view.directory, source: path, directory, ownerUid });
    return { made: { ...record, file_system: fileSystem }, notes };
  }
  const forbidden = [view.directory, services.stateDirectory];
  const wish = { imagePath: view.imagePath(record.backup_id), directory, partition, ownerUid, forbidden };
  const step = await mountFileSystem({ ...wish, onStep: (made) => onStep({ ...record, ...made }) });
  return { made: { ...record, ...step }, notes: [] };
}

/** Safe to repeat. MOUNT_BUSY, DEVICE_FAILED. */
export const undoMount = (record: MountRecord, options: UnmountOptions): Promise<void> =>
  record.kind === 'files' ? unmountViewFolder(record.directory, options) : unmountFileSystem(record, options);

/** Undoes every mount there is, the youngest first; gives what could not be undone. For the stop of the daemon, and for the
 *  start after a crash. The records of those that are wanted stay. */
export async function unmountAll({
  catalog,
}: Pick<Services, 'catalog'>): Promise<{ mount: MountRecord; why: string }[]> {
  const left: { mount: MountRecord; why: string }[] = [];
  const mounts = [...catalog.all('mounts')].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  for (const mount of mounts) {
    try {
      await undoMount(mount, { lazy: true });
      await catalog.commit((changes) => {
        if (mount.wanted) changes.put('mounts', { ...mount, loop_device: null });
        else changes.remove('mounts', mount.id);
      });
    } catch (thrown) {
      left.push({ mount, why: thrown instanceof Error ? thrown.message : String(thrown) });
    }
  }
  return left;
}

/** What a keeper says: to the log, once for each reason. */
export interface MountsTold {
  readonly onBack: (mount: MountRecord) => void;
  readonly onWaiting: (mount: MountRecord, why: string) => void;
}

/** Makes the wanted mounts again, and tries those that can't be made now again and again until they are there. */
export class MountKeeper {
  readonly #services: Services;
  readonly #told: MountsTold;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(services: Services, told: MountsTold) {
    this.#services = services;
    this.#told = told;
    for (const { id, wanted } of services.catalog.all('mounts'))
      if (wanted) services.waitingMounts.set(id, 'it has not been tried yet');
  }

  /** Resolves when each has been tried once. */
  start(): Promise<void> {
    this.#round = this.#tryAll();
    return this.#round;
  }

  /** Nothing is mounted any more by it when it resolves. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  async #tryAll(): Promise<void> {
    const { waitingMounts } = this.#services;
    for (const id of waitingMounts.keys()) {
      if (this.#closed) return;
      await this.#try(id);
    }
    if (waitingMounts.size > 0 && !this.#closed)
      this.#timer = setTimeout(() => void this.start(), remountEveryMs).unref();
  }

  async #try(id: string): Promise<void> {
    const { catalog, busyFolders, waitingMounts } = this.#services;
    const mount = catalog.get('mounts', id);
    if (mount === undefined) {
      waitingMounts.delete(id);
      return;
    }
    try {
      busyFolders.add(mount.directory);
      await this.#make(mount);
      waitingMounts.delete(id);
      this.#told.onBack(mount);
    } catch (thrown) {
      const { message } = toFault(thrown);
      if (waitingMounts.get(id) !== message) this.#told.onWaiting(mount, message);
      // Unless somebody has unmounted it meanwhile.
      if (catalog.get('mounts', id) !== undefined) waitingMounts.set(id, message);
    } finally {
      busyFolders.delete(mount.directory);
    }
  }

  async #make(mount: MountRecord): Promise<void> {
    const { catalog } = this.#services;
    const backup = catalog.get('backups', mount.backup_id);
    if (backup === undefined)
      throw new Fault('BACKUP_UNKNOWN', `Cannot find backup "${mount.backup_id}" any more`);
    requireReadable(backup, 'mount');
    const forbidden = [requireView(this.#services).directory, this.#services.stateDirectory];
    const directory = await checkMountPoint(mount.directory, forbidden);
    if (directory !== mount.directory)
      throw new Fault('MOUNT_POINT_UNUSABLE', `Cannot mount at "${mount.directory}": it leads elsewhere now`);
    const keep = async (record: MountRecord) => {
      await catalog.commit((changes) => {
        if (catalog.get('mounts', record.id) !== undefined) changes.put('mounts', record);
      });
    };
    const { made } = await makeMount(this.#services, mount, keep);
    await keep(made);
    if (catalog.get('mounts', mount.id) === undefined) await undoMount(made, { lazy: true });
  }
}
