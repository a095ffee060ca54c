/** The catalog and the repository as the view wants them. Only backups that can be read are shown. */

import { Fault } from '../base/faults.ts';
import type { BackupRecord } from '../catalog/records.ts';
import type { ViewSource } from '../view/tree.ts';
import type { Services } from './services.ts';

const isShown = ({ status }: BackupRecord): boolean => status === 'available' || status === 'restoring';

function* shown(backups: Iterable<BackupRecord>): Iterable<BackupRecord> {
  for (const backup of backups) if (isShown(backup)) yield backup;
}

export function viewSourceOf({
  catalog,
  repositories,
}: Pick<Services, 'catalog' | 'repositories'>): ViewSource {
  return {
    generation: () => catalog.backups.generation(),
    // From the backups, not from the registered volumes: a backup outlives its volume's registration.
    volumeIds: () => catalog.backups.volumeIds(),
    backups: (volumeId) => shown(catalog.backups.ofVolume(volumeId)),
    backupsMade: (beginning, volumeId) => shown(catalog.backups.made(beginning, volumeId)),
    backup: (backupId) => {
      const backup = catalog.get('backups', backupId);
      return backup !== undefined && isShown(backup) ? backup : undefined;
    },
    open: async (backupId) => {
      const backup = catalog.get('backups', backupId);
      if (backup === undefined) throw new Fault('BACKUP_UNKNOWN', `Cannot find backup "${backupId}"`);
      const opened = await repositories.of(backup);
      const manifest = await opened.manifest(backupId);
      const text = `${JSON.stringify(manifest, undefined, 2)}\n`;
      return { image: opened.openImage(manifest, { random: true }), manifest: Buffer.from(text) };
    },
  };
}
