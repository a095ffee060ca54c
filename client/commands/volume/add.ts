/** `basaltctl volume add`: makes a source known under a name. */

import type { Command } from 'commander';
import { toSource } from '../../location.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

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
    .action(
      inSession(async (session, { id }: { id?: string }, name: string, source: string) => {
        const params = { name, source: toSource(source), ...defined({ id }), ...session.inProject };
        await session.one(await session.call('volume.add', params));
      }),
    );
}
