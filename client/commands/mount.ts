/** `basaltctl mount`: makes the files of a backup visible at a folder. */

import { type Command, InvalidArgumentError } from 'commander';
import { toAbsolutePath } from '../location.ts';
import { defined } from '../session.ts';
import { inSession, verb } from '../verb.ts';

export function addMount(program: Command): void {
  verb(program, 'mount', {
    summary: 'Makes the files of a backup visible at a folder',
    details: `Read-only. The file system is read by a process without rights; of a disk with several file systems each is a folder.
With --kernel it is mounted by the kernel of this host (btrfs too), without replaying its journal: as a bug in a file
system of the kernel is a bug of the whole host, only administrators may, and should trust the volume.
A mount comes back with the daemon, unless it is --temporary. Undo it with basaltctl unmount.`,
    examples: [
      'basaltctl mount nightly /mnt/web',
      'basaltctl mount nightly /mnt/web --partition 2',
      'basaltctl mount nightly /mnt/web --kernel --temporary',
    ],
    exits: [65, 66, 73, 74, 75, 77, 130],
  })
    .argument('<BACKUP>', 'name or id')
    .argument('<DIR>', 'an empty folder')
    .option('--partition <NUMBER>', 'partition to mount, where the volume has several', partitionNumber)
    .option('--kernel', 'mount it by the kernel of this host')
    .option('--temporary', 'gone with the daemon, and not made again by its next start')
    .action(
      inSession(async (session, options: Options, backup: string, directory: string) => {
        const { job_id, mount } = await session.call('mount', {
          backup,
          directory: toAbsolutePath(directory),
          ...defined(options),
          ...session.inProject,
        });
        const { notes, ...result } = (await session.wait(job_id)).result ?? {};
        await session.one({ ...mount, ...result });
        if (Array.isArray(notes)) for (const note of notes) session.note(String(note));
      }),
    );
}

interface Options {
  readonly partition?: number;
  readonly kernel?: boolean;
  readonly temporary?: boolean;
}

function partitionNumber(text: string): number {
  if (!/^[1-9]\d{0,2}$/.test(text)) throw new InvalidArgumentError('Partitions are counted from 1.');
  return Number(text);
}
