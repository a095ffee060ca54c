/** `basaltctl mount`: makes the files of a backup visible at a folder. */

import { type Command, InvalidArgumentError } from 'commander';
import { toAbsolutePath } from '../location.ts';
import { defined } from '../session.ts';
import { inSession, verb } from '../verb.ts';

export function addMount(program: Command): void {
  verb(program, 'mount', {
    summary: 'Makes the files of a backup visible at a folder',
    details: 'Read-only, without replaying the journal of the file system. Undo it with basaltctl unmount.',
    examples: ['basaltctl mount nightly /mnt/web', 'basaltctl mount nightly /mnt/web --partition 2'],
    exits: [65, 66, 73, 74, 75, 130],
  })
    .argument('<BACKUP>', 'name or id')
    .argument('<DIR>', 'an empty folder')
    .option('--partition <NUMBER>', 'partition to mount, where the volume has several', partitionNumber)
    .action(
      inSession(async (session, { partition }: { partition?: number }, backup: string, directory: string) => {
        const { job_id, mount } = await session.call('mount', {
          backup,
          directory: toAbsolutePath(directory),
          ...defined({ partition }),
          ...session.inProject,
        });
        const job = await session.wait(job_id);
        await session.one({ ...mount, ...job.result });
      }),
    );
}

function partitionNumber(text: string): number {
  if (!/^[1-9]\d{0,2}$/.test(text)) throw new InvalidArgumentError('Partitions are counted from 1.');
  return Number(text);
}
