/** The catalog and the repository as the view wants them. Only backups that can be read are shown. */

import type { BackupRecord } from '../catalog/records.ts';
import type { ViewBackup, ViewVolume } from '../view/names.ts';
import type { ViewSource } from '../view/tree.ts';
import type { Services } from './services.ts';

const isShown = ({ status }: BackupRecord): boolean => status === 'available' || status === 'restoring';

export function viewSourceOf({ catalog, repository }: Pick<Services, 'catalog' | 'repository'>): ViewSource {
  const shown = function* (): Iterable<BackupRecord> {
    for (const backup of catalog.all('backups')) if (isShown(backup)) yield backup;
  };
  return {
    // From the backups, not from the registered volumes: a backup outlives its volume's registration.
    volumes: () => {
      const volumes = new Map<string, ViewVolume>();
      for (const { volume_id: id, volume_name: name } of shown()) volumes.set(id, { id, name });
      return volumes.values();
    },
    backups: function* (volumeId): Iterable<ViewBackup> {
      for (const backup of shown()) if (backup.volume_id === volumeId) yield backup;
    },
    backup: (backupId) => {
      const backup = catalog.get('backups', backupId);
      return backup !== undefined && isShown(backup) ? backup : undefined;
    },
    open: async (backupId) => {
      const opened = await repository.get();
      const manifest = await opened.manifest(backupId);
      const text = `${JSON.stringify(manifest, undefined, 2)}\n`;
      return { image: opened.openImage(manifest), manifest: Buffer.from(text) };
    },
  };
}
