/** `basaltctl volume add`: makes a source known under a name. */

import type { Command } from 'commander';
import { readLocation } from '../../connection-info.ts';
import { toSource } from '../../location.ts';
import { collectProperty } from '../../properties.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  attach: boolean;
  id?: string;
  property?: Readonly<Record<string, string>>;
  encryptionKeyId?: string;
}

export function addVolumeAdd(noun: Command): void {
  verb(noun, 'add', {
    summary: 'Registers a file, a device, or a volume of a storage',
    details:
      'Of a file or device of this host nothing is read yet. A volume of a storage is attached, looked at and detached: what it calls itself is remembered, and a device that calls itself otherwise is never read or written in its place. The source may be larger or smaller at each backup. Secrets in a connection_info are kept by the daemon, and never shown.',
    examples: [
      'basaltctl volume add web /srv/images/web.img',
      'basaltctl volume add database /dev/vg0/db',
      'basaltctl volume add disk1 nbd://10.0.0.5/disk1',
      'basaltctl volume add shop @connection_info.json',
      'openstack volume attachment show ID -f json | basaltctl volume add shop @-',
    ],
    exits: [65, 66, 73, 74, 75, 77, 78],
  })
    .argument('<NAME>', 'name of the volume; it becomes a folder of the view')
    .argument('<SOURCE>', 'path or URL; or @FILE with a connection_info of Cinder, @- for standard input')
    .option('--id <UUID>', 'id to give it, where another system already has one')
    .option('--property <KEY=VALUE>', 'property of the volume; may be repeated', collectProperty)
    .option(
      '--no-attach',
      'do not look at a volume of a storage now: what it is, is learned by the first job',
    )
    .option('--encryption-key-id <ID>', 'the source is encrypted by this key')
    .action(
      inSession(async (session, options: Options, name: string, source: string) => {
        const { id, property: properties, encryptionKeyId: encryption_key_id } = options;
        const given = await readLocation(toSource(source));
        const params = {
          name,
          ...(given.url === undefined ? given : { source: given.url }),
          ...(options.attach ? {} : { attach: false }),
          ...defined({ id, properties, encryption_key_id }),
          ...session.inProject,
        };
        await session.one(await session.attend('volume.add', params));
      }),
    );
}
