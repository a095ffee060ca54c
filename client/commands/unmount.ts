/** `basaltctl unmount`: undoes a mount. */

import type { Command } from 'commander';
import { toAbsolutePath } from '../location.ts';
import { inSession, verb } from '../verb.ts';

export function addUnmount(program: Command): void {
  verb(program, 'unmount', {
    summary: 'Undoes a mount of a backup',
    examples: ['basaltctl unmount /mnt/web'],
    exits: [66, 74, 75, 130],
  })
    .argument('<DIR>', 'the folder that was given to basaltctl mount')
    .action(
      inSession(async (session, _: object, folder: string) => {
        const directory = toAbsolutePath(folder);
        const { job_id } = await session.call('unmount', { directory, ...session.inProject });
        await session.wait(job_id);
        session.note(`Unmounted "${directory}"`);
      }),
    );
}
