/** `basaltctl volume list`: the registered volumes. */

import type { Command } from 'commander';
import { volumeTitles } from '../../output/titles.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addVolumeList(noun: Command): void {
  verb(noun, 'list', {
    summary: 'Lists the registered volumes by name',
    examples: ['basaltctl volume list', 'basaltctl volume list -f value -c id -c name'],
    exits: [],
  })
    .option('--all-projects', 'of every project, not only your own')
    .action(
      inSession(async (session, { allProjects }: { allProjects?: boolean }) => {
        const params = { ...defined({ all_projects: allProjects }), ...session.inProject };
        const { volumes } = await session.call('volume.list', params);
        const initial = ['id', 'name', 'status', 'size_bytes', 'source'];
        await session.list(volumes, {
          titles: volumeTitles,
          initial: allProjects ? [...initial, 'project_id'] : initial,
        });
        if (volumes.length === 0) session.note('No volumes yet: basaltctl volume add NAME SOURCE');
      }),
    );
}
