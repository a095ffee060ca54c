/** `basaltctl backup unset`: removes properties of a backup. */

import type { Command } from 'commander';
import { withRemovedProperties } from '../../properties.ts';
import { inSession, verb } from '../../verb.ts';

export function addBackupUnset(noun: Command): void {
  const command = verb(noun, 'unset', {
    summary: 'Removes properties of a backup, and shows it',
    details: 'A property that is not there is no error.',
    examples: ['basaltctl backup unset nightly --property reason --property keep'],
    exits: [66, 73, 74, 75],
  }).argument('<BACKUP>', 'name or id');
  withRemovedProperties(command).action(
    inSession(async (session, { property }: { property: string[] }, backup: string) => {
      const params = { backup, remove_properties: property, ...session.inProject };
      await session.one(await session.call('backup.set', params));
    }),
  );
}
