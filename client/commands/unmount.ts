/** `basaltctl unmount`: undoes a mount. */

import type { Command } from 'commander';
import { toAbsolutePath } from '../location.ts';
import { defined } from '../session.ts';
import { inSession, verb } from '../verb.ts';

export function addUnmount(program: Command): void {
  verb(program, 'unmount', {
    summary: 'Undoes a mount of a backup',
    details: `What is used is not unmounted: you are told by whom. With --lazy the folder is free at once all the same, and the mount
goes when the last of them has ended.`,
    examples: ['basaltctl unmount /mnt/web', 'basaltctl unmount /mnt/web --lazy'],
    exits: [66, 74, 75, 130],
  })
    .argument('<DIR>', 'the folder that was given to basaltctl mount')
    .option('--lazy', 'although it is used')
    .option('--force', 'the same')
    .action(
      inSession(async (session, options: { lazy?: boolean; force?: boolean }, folder: string) => {
        const directory = toAbsolutePath(folder);
        const lazy = options.lazy === true || options.force === true;
        const { job_id } = await session.call('unmount', {
          directory,
          ...defined({ lazy: lazy || undefined }),
          ...session.inProject,
        });
        await session.wait(job_id);
        session.note(`Unmounted "${directory}"`);
      }),
    );
}
