/** `basaltctl limit show`: the rates of all jobs together. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addLimitShow(noun: Command): void {
  verb(noun, 'show', {
    summary: 'Shows how fast all jobs together may read and write',
    examples: ['basaltctl limit show', 'basaltctl limit show -f json'],
    exits: [],
  }).action(
    inSession(async (session) => {
      await session.one(await session.call('limit.show', {}));
    }),
  );
}
