/** `basaltctl volume add`: makes a source known under a name. */

import type { Command } from 'commander';
import { toSource } from '../../location.ts';
import { collectProperty } from '../../properties.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  id?: string;
  property?: Readonly<Record<string, string>>;
  encryptionKeyId?: string;
}

export function addVolumeAdd(noun: Command): void {
  verb(noun, 'add', {
    summary: 'Registers a file, loop or block device as a volume',
    details: 'Nothing is read yet. The source may be larger or smaller at each backup.',
    examples: ['basaltctl volume add web /srv/images/web.img', 'basaltctl volume add database /dev/vg0/db'],
    exits: [66, 73],
  })
    .argument('<NAME>', 'name of the volume; it becomes a folder of the view')
    .argument('<SOURCE>', 'path or URL; a relative path is made absolute')
    .option('--id <UUID>', 'id to give it, where another system already has one')
    .option('--property <KEY=VALUE>', 'property of the volume; may be repeated', collectProperty)
    .option('--encryption-key-id <ID>', 'the source is encrypted by this key')
    .action(
      inSession(async (session, options: Options, name: string, source: string) => {
        const { id, property: properties, encryptionKeyId: encryption_key_id } = options;
        const params = {
          name,
          source: toSource(source),
          ...defined({ id, properties, encryption_key_id }),
          ...session.inProject,
        };
        await session.one(await session.call('volume.add', params));
      }),
    );
}
