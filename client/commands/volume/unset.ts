/** `basaltctl volume unset`: removes properties of a volume. */

import type { Command } from 'commander';
import { withRemovedProperties } from '../../properties.ts';
import { inSession, verb } from '../../verb.ts';

export function addVolumeUnset(noun: Command): void {
  const command = verb(noun, 'unset', {
    summary: 'Removes properties of a volume, and shows it',
    details: 'A property that is not there is no error.',
    examples: ['basaltctl volume unset web --property owner --property tier'],
    exits: [66],
  }).argument('<VOLUME>', 'name or id');
  withRemovedProperties(command).action(
    inSession(async (session, { property }: { property: string[] }, volume: string) => {
      const params = { volume, remove_properties: property, ...session.inProject };
      await session.one(await session.call('volume.set', params));
    }),
  );
}
