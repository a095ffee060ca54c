/** `basaltctl backup copy`: copies a backup to another repository. */

import type { Command } from 'commander';
import { parseRate } from '../../rate.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  readonly to: string;
  readonly chain?: boolean;
  readonly rate?: number;
}

export function addBackupCopy(noun: Command): void {
  verb(noun, 'copy', {
    summary: 'Copies a backup to another repository, of the same or another kind',
    details:
      'The copy keeps id, names, times and parent; every byte is verified on its way. Nothing is removed. ' +
      "From Cinder's format to ours the record of the backup goes with the copy; otherwise it stays where it is. " +
      'In a Cinder repository the copy is an incremental one where its parent is there, else a full one. ' +
      'What is there already is not copied again: after an interruption run the command once more.',
    examples: [
      'basaltctl backup copy nightly --to archive',
      'basaltctl backup copy 7f6f3d7a-8c1e-4c58-b6a3-0e9d2f1c4b5a --to cinder --chain',
    ],
    exits: [65, 66, 73, 74, 75, 130],
  })
    .argument('<BACKUP>', 'name or id')
    .requiredOption('--to <REPOSITORY>', 'name of the repository that gets it')
    .option('--chain', 'copy its parents first, the oldest at the beginning')
    .option('--rate <RATE>', 'bytes a second for this copy alone; 50MiB', parseRate)
    .action(
      inSession(async (session, { to, chain, rate }: Options, backup: string) => {
        const params = { backup, to, ...defined({ chain, rate }), ...session.inProject };
        const { job_id } = await session.call('backup.copy', params);
        const job = await session.wait(job_id);
        await session.one(job.result ?? job);
      }),
    );
}
