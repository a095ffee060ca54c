/** `basaltctl volume set`: changes the properties of a volume. */

import { type Command, Option } from 'commander';
import { withPropertyOptions } from '../../properties.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  state?: 'available';
  acceptIdentity?: string;
}

export function addVolumeSet(noun: Command): void {
  const command = verb(noun, 'set', {
    summary: 'Changes the properties of a volume, and shows it',
    details:
      'Properties are kept with every backup of the volume and come back with a restore. --state and --accept-identity are for administrators. --state frees a volume whose restore failed, when its data was put right in another way. --accept-identity says which device a volume of a storage is from now on, after somebody has looked why it is another one.',
    examples: [
      'basaltctl volume set web --property owner=shop',
      'basaltctl volume set web --no-property --property tier=gold',
      'basaltctl volume set web --state available',
      'basaltctl volume set web --accept-identity naa.60014051d2e4f6a7b8c9d0e1f2a3b4c5',
    ],
    exits: [66, 75],
  }).argument('<VOLUME>', 'name or id');
  const change = withPropertyOptions(command);
  command
    .option(
      '--accept-identity <NAME>',
      'name of the device that the volume is from now on; "any": whatever is attached next',
    )
    .addOption(new Option('--state <STATE>', 'state to set').choices(['available']))
    .action(
      inSession(async (session, { state, acceptIdentity: accept_identity }: Options, volume: string) => {
        const params = { volume, ...change(), ...defined({ state, accept_identity }), ...session.inProject };
        await session.one(await session.call('volume.set', params));
      }),
    );
}
