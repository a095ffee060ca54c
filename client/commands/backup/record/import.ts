/** `basaltctl backup record import`: takes up a backup by its record. */

import type { Command } from 'commander';
import { readStandardInput } from '../../../standard-input.ts';
import { inSession, verb } from '../../../verb.ts';

export function addBackupRecordImport(noun: Command): void {
  verb(noun, 'import', {
    summary: 'Takes up a backup by its record, from a repository that holds its data',
    details:
      'The backup comes into the project that the command acts for, and can be restored at once. Of a chain every record\nis imported, in any order. Needs an administrator.',
    examples: [
      'basaltctl backup record import basalt.repository.native.NativeRepository eyJkcml2ZXJfaW5mbyI6IHt9LCAi…',
      'basaltctl backup record import basalt.repository.native.NativeRepository - <nightly.record',
    ],
    exits: [65, 66, 73, 74, 75],
  })
    .argument('<SERVICE>', 'backup_service of the export')
    .argument('<URL>', 'backup_url of the export; - reads it from standard input')
    .action(
      inSession(async (session, _: object, service: string, word: string) => {
        const url = word === '-' ? await readStandardInput() : word;
        const { id, name } = await session.call('backup.record.import', {
          service,
          url,
          ...session.inProject,
        });
        await session.one({ id, name });
      }),
    );
}
