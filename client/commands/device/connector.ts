/** `basaltctl device connector`: what this host says of itself to storages. */

import type { Command } from 'commander';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  ip?: string;
  host?: string;
}

export function addDeviceConnector(noun: Command): void {
  verb(noun, 'connector', {
    summary: 'Shows what a storage must know of this host to export a volume to it',
    details:
      'With -f json it is the connector that Cinder wants, unchanged: hand it over with os-initialize_connection or with an attachment, and add what comes back as a volume. docs/devices.md has the whole way.',
    examples: [
      'basaltctl device connector -f json',
      'basaltctl device connector --ip 10.0.0.9 -f value -c initiator',
    ],
    exits: [],
  })
    .option('--ip <ADDRESS>', 'address to tell, where this host has several')
    .option('--host <NAME>', 'name to tell (the name of this host)')
    .action(
      inSession(async (session, { ip, host }: Options) => {
        const connector = await session.call('device.connector', defined({ ip, host }));
        await session.one(connector);
        if (connector.initiator === undefined)
          session.note('No name of an iSCSI initiator: /etc/iscsi/initiatorname.iscsi has none.');
      }),
    );
}
