/** The points in time of a volume. */

import type { BackupValue } from '../../daemon/protocol/values.ts';
import type { Session } from '../session.ts';

/** Every available backup of a volume, oldest first. */
export async function pointsOf(session: Session, volume: string): Promise<BackupValue[]> {
  const points: BackupValue[] = [];
  let marker: string | null = null;
  do {
    const page: { backups: BackupValue[]; next_marker: string | null } = await session.call('backup.list', {
      volume,
      status: 'available',
      ...(marker === null ? {} : { marker }),
      ...session.inProject,
    });
    points.push(...page.backups);
    marker = page.next_marker;
  } while (marker !== null);
  return points.sort((a, b) => (a.data_timestamp < b.data_timestamp ? -1 : 1));
}

/** How a point is called in a list. */
export const labelOf = ({ id, name }: BackupValue): string => name ?? id;
