/** `basaltctl status`: one screen about the daemon. */

import type { Command } from 'commander';
import { inSession, verb } from '../verb.ts';

export function addStatus(program: Command): void {
  verb(program, 'status', {
    summary: 'Shows the daemon: memory, jobs, repository',
    examples: ['basaltctl status', 'basaltctl status -f value -c memory.reserved_bytes'],
    exits: [],
  }).action(
    inSession(async (session) => {
      await session.one(await session.call('status', {}));
    }),
  );
}
