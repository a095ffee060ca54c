/** `basaltctl file find`: files by name, in every point in time of a volume. */

import type { Command } from 'commander';
import { matcherOf } from '../../files/pattern.ts';
import { labelOf, pointsOf } from '../../files/points.ts';
import { listFolder, walkTree } from '../../files/walk.ts';
import { foundTitles } from '../../output/titles.ts';
import { inSession, verb, wholeNumber } from '../../verb.ts';

interface Options {
  partition?: number;
  logicalVolume?: string;
  below: string;
}

export function addFileFind(noun: Command): void {
  verb(noun, 'find', {
    summary: 'Finds files by name in all backups of a volume',
    details:
      '"*", "?" and "[a-z]" stand for what they do in a shell. A pattern with a slash is held against the whole path. Backups whose\nfile system cannot be read are named at the end.',
    examples: ["basaltctl file find web '*.conf'", "basaltctl file find web '/etc/*/passwd*' -f json"],
    exits: [65, 66, 74],
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
          for (const point of await pointsOf(session, volume)) {
            const place = { session, backup: point.id, partition, logicalVolume };
            try {
              for await (const { file, path } of walkTree(place, { path: below }, listFolder)) {
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
              session.note(`Left out backup "${labelOf(point)}"`);
              session.complain(thrown);
            }
          }
          await session.list(rows, {
            titles: foundTitles,
            initial: ['path', 'backup', 'kind', 'size_bytes', 'modified_at'],
          });
        },
      ),
    );
}
