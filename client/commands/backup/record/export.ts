/** `basaltctl backup record export`: the record of a backup, for another host or for Cinder's tools. */

import type { Command } from 'commander';
import { inSession, verb } from '../../../verb.ts';

export function addBackupRecordExport(noun: Command): void {
  verb(noun, 'export', {
    summary: 'Prints the record of a backup',
    details:
      'With the record, a host that never saw the backup can take it up from the same repository: see the import.\nThe record holds no data. Needs an administrator.',
    examples: [
      'basaltctl backup record export nightly -f json',
      'basaltctl backup record export nightly -f value -c backup_url >nightly.record',
    ],
    exits: [65, 66, 74, 75],
  })
    .argument('<BACKUP>', 'name or id')
    .action(
      inSession(async (session, _: object, backup: string) => {
        const record = await session.call('backup.record.export', { backup, ...session.inProject });
        const titled = { 'Backup Service': record.backup_service, Metadata: record.backup_url };
        const asKeyed = session.format !== 'table';
        await session.one(asKeyed ? record : titled);
      }),
    );
}
