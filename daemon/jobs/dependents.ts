/** Backups that can't be restored without another one. Promises: in a native repository every backup is complete in itself, so
 *  nothing depends on anything there, whatever parents are named. */

import type { BackupRecord } from '../catalog/records.ts';
import type { Services } from './services.ts';

/** An incremental without data needs nobody. */
const needsParent = ({ status }: BackupRecord): boolean => status !== 'error' && status !== 'deleted';

/** Counts the direct children of backups. Holds what it found of each volume: make a new one for each request. */
export function dependentsCounter({
  catalog,
  repositories,
}: Pick<Services, 'catalog' | 'repositories'>): (backup: BackupRecord) => number {
  const volumes = new Map<string, Map<string, number>>();
  const countsOf = (volumeId: string): Map<string, number> => {
    const known = volumes.get(volumeId);
    if (known !== undefined) return known;
    const counts = new Map<string, number>();
    for (const child of catalog.backups.ofVolume(volumeId)) {
      const { parent_id, repository } = child;
      if (parent_id === null || !needsParent(child)) continue;
      const key = `${repository} ${parent_id}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    volumes.set(volumeId, counts);
    return counts;
  };
  return (backup) => {
    if (repositories.known(backup.repository).kind === 'native') return 0;
    return countsOf(backup.volume_id).get(`${backup.repository} ${backup.id}`) ?? 0;
  };
}
