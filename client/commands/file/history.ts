/** `basaltctl file history`: one file through all points in time of a volume. */

import type { Command } from 'commander';
import type { FileDetailsValue } from '../../../daemon/protocol/values.ts';
import { RemoteFailure } from '../../failure.ts';
import { differences } from '../../files/digest.ts';
import { Missed } from '../../files/missed.ts';
import { labelOf, pointsOf } from '../../files/points.ts';
import { type Place, showFile } from '../../files/walk.ts';
import { historyTitles } from '../../output/titles.ts';
import { inSession, verb, wholeNumber } from '../../verb.ts';

interface Options {
  partition?: number;
  logicalVolume?: string;
}

export function addFileHistory(noun: Command): void {
  verb(noun, 'history', {
    summary: 'Shows which backups hold a file, and where it changed',
    details:
      'Oldest first. "changed" says what: content, owner, mode, kind, time. Content is compared byte by byte where size and times\nleave it open. A backup that cannot be read is left out and named on stderr; then the status is the one of what is wrong with it.',
    examples: ['basaltctl file history web /etc/passwd', 'basaltctl file history web /srv/db/data -f json'],
    exits: [65, 66, 74, 75],
  })
    .argument('<VOLUME>', 'name or id')
    .argument('<PATH>', 'path inside the backups')
    .option('--partition <NUMBER>', 'which partition', wholeNumber)
    .option('--logical-volume <GROUP/VOLUME>', 'which logical volume of LVM')
    .action(
      inSession(async (session, { partition, logicalVolume }: Options, volume: string, path: string) => {
        const rows: object[] = [];
        let before: readonly [FileDetailsValue, Place] | undefined;
        const points = await pointsOf(session, volume);
        const missed = new Missed(session, points.length);
        for (const point of points) {
          const place = { session, backup: point.id, partition, logicalVolume };
          const file = await fileAt(place, path).catch((thrown: unknown) => {
            missed.leaveOut(point, thrown);
            return 'unreadable' as const;
          });
          if (file === 'unreadable') continue;
          const now = file === undefined ? undefined : ([file, place] as const);
          rows.push({
            backup: labelOf(point),
            backup_id: point.id,
            data_timestamp: point.data_timestamp,
            state: await stateOf(before, now, path),
            kind: file?.kind ?? null,
            size_bytes: file?.size_bytes ?? null,
            modified_at: file?.modified_at ?? null,
          });
          before = now;
        }
        await session.list(rows, {
          titles: historyTitles,
          initial: ['backup', 'data_timestamp', 'state', 'size_bytes', 'modified_at'],
        });
        missed.requireNone();
      }),
    );
}

/** The file; undefined where it is not there. */
async function fileAt(place: Place, path: string): Promise<FileDetailsValue | undefined> {
  try {
    return await showFile(place, { path });
  } catch (thrown) {
    if (thrown instanceof RemoteFailure && thrown.fault.code === 'FILE_UNKNOWN') return undefined;
    throw thrown;
  }
}

async function stateOf(
  before: readonly [FileDetailsValue, Place] | undefined,
  now: readonly [FileDetailsValue, Place] | undefined,
  path: string,
): Promise<string> {
  if (now === undefined) return before === undefined ? 'absent' : 'removed';
  if (before === undefined) return 'new';
  const words = await differences(before, now, path);
  if (before[0].target !== now[0].target) words.push('target');
  return words.length === 0 ? 'same' : `changed: ${words.join(', ')}`;
}
