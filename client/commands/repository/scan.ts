/** `basaltctl repository scan`: finds the backups of a Cinder repository. */

import type { Command } from 'commander';
import { scanTitles } from '../../output/titles.ts';
import { inSession, verb } from '../../verb.ts';

export function addRepositoryScan(noun: Command): void {
  verb(noun, 'scan', {
    summary: 'Finds every backup in a Cinder repository, complete or not',
    details:
      'Needs no database of Cinder, and changes nothing in the repository. What is complete is listed by basaltctl backup list afterwards, and can be restored, mounted, verified and compared.',
    examples: ['basaltctl repository scan old', 'basaltctl repository scan old -f json'],
    exits: [64, 66, 74, 75, 130],
  })
    .argument('<REPOSITORY>', 'name of the repository')
    .action(
      inSession(async (session, _: object, name: string) => {
        const { job_id } = await session.call('repository.scan', { name, ...session.inProject });
        const { result } = await session.wait(job_id);
        const rows = Array.isArray(result?.['backups']) ? (result['backups'] as object[]) : [];
        await session.list(rows, {
          titles: scanTitles,
          initial: [
            'backup_id',
            'is_complete',
            'volume_id',
            'size_bytes',
            'compression',
            'parent_id',
            'missing',
          ],
          whole: result,
        });
        const { complete, incomplete, registered } = result ?? {};
        session.note(
          `${String(complete)} complete (${String(registered)} new), ${String(incomplete)} incomplete`,
        );
      }),
    );
}
