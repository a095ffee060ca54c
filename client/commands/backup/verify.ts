/** `basaltctl backup verify`: reads and checks every byte of a backup. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addBackupVerify(noun: Command): void {
  verb(noun, 'verify', {
    summary: 'Reads and checks every byte of a backup',
    details: 'Waits, and prints what was verified and which ranges of the volume are damaged.',
    examples: ['basaltctl backup verify nightly', 'basaltctl backup verify nightly -f json'],
    exits: [65, 66, 74, 75, 130],
  })
    .argument('<BACKUP>', 'name or id')
    .action(
      inSession(async (session, _: object, backup: string) => {
        const { job_id } = await session.call('backup.verify', { backup, ...session.inProject });
        const job = await session.wait(job_id);
        await session.one(job.result ?? job);
      }),
    );
}
