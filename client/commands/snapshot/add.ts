/** `basaltctl snapshot add`: makes a frozen copy of a volume known. */

import type { Command } from 'commander';
import { readLocation } from '../../connection-info.ts';
import { toSource } from '../../location.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addSnapshotAdd(noun: Command): void {
  verb(noun, 'add', {
    summary: 'Registers a frozen copy of a volume that the storage has made',
    details:
      'For administrators. Nothing is read yet, and basaltctl snapshot remove only forgets it. A backup of it has the data of --created-at, or of now.',
    examples: [
      'basaltctl snapshot add web before-upgrade /dev/vg0/web-snap',
      'basaltctl snapshot add web friday /srv/copies/web.img --created-at 2026-11-20T23:00:00Z',
    ],
    exits: [66, 73],
  })
    .argument('<VOLUME>', 'name or id')
    .argument('<NAME>', 'name of the snapshot')
    .argument('<SOURCE>', 'path or URL; or @FILE with a connection_info of Cinder, @- for standard input')
    .option('--created-at <TIME>', 'when it was taken: 2026-11-20T23:00:00Z')
    .action(
      inSession(
        async (session, options: { createdAt?: string }, volume: string, name: string, source: string) => {
          const created_at = options.createdAt;
          const { url, connection_info } = await readLocation(toSource(source));
          const params = { volume, name, ...defined({ source: url, connection_info, created_at }) };
          await session.one(await session.call('snapshot.add', { ...params, ...session.inProject }));
        },
      ),
    );
}
