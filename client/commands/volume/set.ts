/** `basaltctl volume set`: changes the properties of a volume. */

import { type Command, Option } from 'commander';
import { withPropertyOptions } from '../../properties.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addVolumeSet(noun: Command): void {
  const command = verb(noun, 'set', {
    summary: 'Changes the properties of a volume, and shows it',
    details:
      'Properties are kept with every backup of the volume and come back with a restore. --state is for administrators: it frees a volume whose restore failed, when its data was put right in another way.',
    examples: [
      'basaltctl volume set web --property owner=shop',
      'basaltctl volume set web --no-property --property tier=gold',
      'basaltctl volume set web --state available',
    ],
    exits: [66, 75],
  }).argument('<VOLUME>', 'name or id');
  const change = withPropertyOptions(command);
  command.addOption(new Option('--state <STATE>', 'state to set').choices(['available'])).action(
    inSession(async (session, { state }: { state?: 'available' }, volume: string) => {
      const params = { volume, ...change(), ...defined({ state }), ...session.inProject };
      await session.one(await session.call('volume.set', params));
    }),
  );
}
