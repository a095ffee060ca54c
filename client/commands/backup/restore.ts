/** `basaltctl backup restore`: writes a backup to a new or an existing volume. */

import type { Command } from 'commander';
import { readLocation } from '../../connection-info.ts';
import { toLocation } from '../../location.ts';
import { parseRate } from '../../rate.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  force?: boolean;
  name?: string;
  differential?: boolean;
  rate?: number;
  wait?: boolean;
}

export function addBackupRestore(noun: Command): void {
  verb(noun, 'restore', {
    summary: 'Writes a backup to a new or existing file or device',
    details:
      'Without a target a new file of the size of the backup is made. A larger target keeps its tail; a smaller one is refused before anything is written.',
    examples: [
      'basaltctl backup restore nightly /srv/images/web-restored.img --wait',
      'basaltctl backup restore nightly /dev/vg0/web --force --differential --wait',
    ],
    exits: [65, 66, 73, 74, 75, 77, 78, 130],
  })
    .argument('<BACKUP>', 'name or id')
    .argument(
      '[TARGET]',
      'registered volume, path or URL; a relative path with a slash in it is made absolute; @FILE: a connection_info of Cinder, @- for standard input',
    )
    .option('--force', 'write over what the target holds')
    .option('--name <NAME>', 'register the target as a volume of this name')
    .option('--differential', 'read the target first, and write only what differs')
    .option('--rate <RATE>', 'bytes a second for this restore alone; 50MiB', parseRate)
    .option('--wait', 'wait until the restore is done')
    .action(
      inSession(async (session, options: Options, backup: string, target: string | undefined) => {
        const { force, name, differential, rate } = options;
        const given = target === undefined ? undefined : await readLocation(toLocation(target));
        const started = await session.call('backup.restore', {
          backup,
          ...defined({
            target: given?.url,
            connection_info: given?.connection_info,
            force,
            name,
            differential,
            rate,
          }),
          ...session.inProject,
        });
        if (options.wait !== true) {
          await session.one(started);
          return;
        }
        const job = await session.wait(started.job_id);
        await session.one(job.result ?? started);
      }),
    );
}
