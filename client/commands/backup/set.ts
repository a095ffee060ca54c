/** `basaltctl backup set`: changes what is said of a backup. */

import { type Command, Option } from 'commander';
import { withPropertyOptions } from '../../properties.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  name?: string;
  description?: string;
  state?: 'available' | 'error';
}

export function addBackupSet(noun: Command): void {
  const command = verb(noun, 'set', {
    summary: 'Changes name, description or properties of a backup, and shows it',
    details:
      'The change is kept in the repository, too. --state is for administrators: available needs the data to be there; error on a backup that is being restored cancels the restore.',
    examples: [
      'basaltctl backup set nightly --name before-upgrade --property keep=yes',
      'basaltctl backup set nightly --no-property',
      'basaltctl backup set 6e0c1f0a-5a8b-4d53-9f0e-0b5f6d1f7c11 --state error',
    ],
    exits: [65, 66, 73, 74, 75],
  })
    .argument('<BACKUP>', 'name or id')
    .option('--name <NAME>', 'new name')
    .option('--description <TEXT>', 'new description');
  const change = withPropertyOptions(command);
  command.addOption(new Option('--state <STATE>', 'state to set').choices(['available', 'error'])).action(
    inSession(async (session, { name, description, state }: Options, backup: string) => {
      const params = { backup, ...change(), ...defined({ name, description, state }) };
      await session.one(await session.call('backup.set', { ...params, ...session.inProject }));
    }),
  );
}
