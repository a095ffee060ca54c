/** `basaltctl file show`: one file inside a backup, with all that is known of it. */

import type { Command } from 'commander';
import { showFile } from '../../files/walk.ts';
import { inSession, verb, wholeNumber } from '../../verb.ts';

interface Options {
  partition?: number;
  logicalVolume?: string;
  follow?: boolean;
}

export function addFileShow(noun: Command): void {
  verb(noun, 'show', {
    summary: 'Shows one file inside a backup, with its extended attributes',
    examples: ['basaltctl file show monday /etc/hostname', 'basaltctl file show monday /bin --follow'],
    exits: [65, 66, 74],
  })
    .argument('<BACKUP>', 'name or id')
    .argument('<PATH>', 'path inside the backup')
    .option('--partition <NUMBER>', 'which partition', wholeNumber)
    .option('--logical-volume <GROUP/VOLUME>', 'which logical volume of LVM')
    .option('--follow', 'what a symbolic link leads to, in place of the link')
    .action(
      inSession(
        async (
          session,
          { partition, logicalVolume, follow = false }: Options,
          backup: string,
          path: string,
        ) => {
          await session.one(await showFile({ session, backup, partition, logicalVolume }, { path, follow }));
        },
      ),
    );
}
