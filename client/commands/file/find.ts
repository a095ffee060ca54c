/** `basaltctl file find`: files by name, in every point in time of a volume. */

import type { Command } from 'commander';
import { RemoteFailure } from '../../failure.ts';
import { Missed } from '../../files/missed.ts';
import { matcherOf } from '../../files/pattern.ts';
import { labelOf, pointsOf } from '../../files/points.ts';
import { listFolder, walkTree } from '../../files/walk.ts';
import { foundTitles } from '../../output/titles.ts';
import { inSession, verb, wholeNumber } from '../../verb.ts';

const isUnknown = (thrown: unknown): boolean =>
  thrown instanceof RemoteFailure && thrown.fault.code === 'FILE_UNKNOWN';

interface Options {
  partition?: number;
  logicalVolume?: string;
  below: string;
}

export function addFileFind(noun: Command): void {
  verb(noun, 'find', {
    summary: 'Finds files by name in all backups of a volume',
    details:
      '"*", "?" and "[a-z]" stand for what they do in a shell. A pattern with a slash is held against the whole path. A backup whose\nfile system cannot be read is left out and named on stderr; then the status is the one of what is wrong with it, though what was found in the others is printed.',
    examples: ["basaltctl file find web '*.conf'", "basaltctl file find web '/etc/*/passwd*' -f json"],
    exits: [65, 66, 74, 75],
  })
    .argument('<VOLUME>', 'name or id')
    .argument('<PATTERN>', 'name, with wildcards')
    .option('--below <PATH>', 'only below this folder', '/')
    .option('--partition <NUMBER>', 'which partition', wholeNumber)
    .option('--logical-volume <GROUP/VOLUME>', 'which logical volume of LVM')
    .action(
      inSession(
        async (session, { partition, logicalVolume, below }: Options, volume: string, pattern: string) => {
          const matches = matcherOf(pattern);
          const rows: object[] = [];
          const root = below.replace(/\/+$/, '');
          const points = await pointsOf(session, volume);
          const missed = new Missed(session, points.length);
          const absent: unknown[] = [];
          for (const point of points) {
            const place = { session, backup: point.id, partition, logicalVolume };
            let entered = false;
            try {
              for await (const { file, path } of walkTree(place, { path: below }, listFolder)) {
                entered = true;
                const whole = `${root}/${path.toString('utf8')}`;
                if (!matches(whole)) continue;
                const { kind, size_bytes, modified_at } = file;
                rows.push({
                  path: whole,
                  backup: labelOf(point),
                  backup_id: point.id,
                  kind,
                  size_bytes,
                  modified_at,
                });
              }
            } catch (thrown) {
              if (!entered && isUnknown(thrown)) absent.push(thrown);
              else missed.leaveOut(point, thrown);
            }
          }
          // A folder that some of them do not have holds nothing there; one that none has is a mistake.
          if (absent.length > 0 && absent.length === points.length) throw absent[0];
          await session.list(rows, {
            titles: foundTitles,
            initial: ['path', 'backup', 'kind', 'size_bytes', 'modified_at'],
          });
          missed.requireNone();
        },
      ),
    );
}
