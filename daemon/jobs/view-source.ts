/** The catalog and the repository as the view wants them. Only backups that can be read are shown.
 *  Promises: the records that were asked for last are kept for as long as no backup changes, a few hundred at most: one look at a
 *  folder of the view asks for the same ones many times. */

import { Fault } from '../base/faults.ts';
import { viewRecordsMax } from '../base/limits.ts';
import type { BackupRecord } from '../catalog/records.ts';
import type { ViewSource } from '../view/tree.ts';
import type { Services } from './services.ts';

const isShown = ({ status }: BackupRecord): boolean => status === 'available' || status === 'restoring';

function* shown(backups: Iterable<BackupRecord>): Iterable<BackupRecord> {
  for (const backup of backups) if (isShown(backup)) yield backup;
}

/** What `make` gave for a key, until the generation changes. At most `viewRecordsMax` are kept. */
function keptFor<T>(generation: () => number, make: (key: string) => T): (key: string) => T {
  const kept = new Map<string, T>();
  let keptOf = generation();
  return (key) => {
    const now = generation();
    if (now !== keptOf || kept.size >= viewRecordsMax) kept.clear();
    keptOf = now;
    const known = kept.get(key);
    if (known !== undefined) return known;
    const made = make(key);
    kept.set(key, made);
    return made;
  };
}

export function viewSourceOf({
  catalog,
  repositories,
}: Pick<Services, 'catalog' | 'repositories'>): ViewSource {
  const generation = () => catalog.backups.generation();
  const recordOf = keptFor(generation, (id) => catalog.get('backups', id));
  const idsMade = keptFor(generation, (key) => {
    const [beginning = '', volumeId] = key.split('\n');
    return [...shown(catalog.backups.made(beginning, volumeId))].map(({ id }) => id);
  });
  return {
    generation,
    // From the backups, not from the registered volumes: a backup outlives its volume's registration.
    volumeIds: () => catalog.backups.volumeIds(),
    backups: (volumeId) => shown(catalog.backups.ofVolume(volumeId)),
    backupsMade: function* (beginning, volumeId) {
      for (const id of idsMade(volumeId === undefined ? beginning : `${beginning}\n${volumeId}`)) {
        const backup = recordOf(id);
        if (backup !== undefined && isShown(backup)) yield backup;
      }
    },
    backup: (backupId) => {
      const backup = recordOf(backupId);
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
