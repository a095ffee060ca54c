/** `basaltctl snapshot list`: the snapshots that are known. */

import type { Command } from 'commander';
import { snapshotTitles } from '../../output/titles.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addSnapshotList(noun: Command): void {
  verb(noun, 'list', {
    summary: 'Lists snapshots, newest first',
    examples: ['basaltctl snapshot list --volume web', 'basaltctl snapshot list -f value -c id -c name'],
    exits: [66],
  })
    .option('--volume <VOLUME>', 'only of this volume, by name or id')
    .option('--all-projects', 'of every project, not only your own')
    .action(
      inSession(async (session, { volume, allProjects }: { volume?: string; allProjects?: boolean }) => {
        const params = { ...defined({ volume, all_projects: allProjects }), ...session.inProject };
        const { snapshots } = await session.call('snapshot.list', params);
        const initial = ['id', 'name', 'volume_id', 'status', 'size_bytes', 'created_at', 'made_by'];
        await session.list(snapshots, {
          titles: snapshotTitles,
          initial: allProjects ? [...initial, 'project_id'] : initial,
        });
        if (snapshots.length === 0) session.note('No snapshots.');
      }),
    );
}
