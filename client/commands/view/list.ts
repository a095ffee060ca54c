/** `basaltctl view list`: where the view is, and what is mounted. */

import type { Command } from 'commander';
import { mountTitles } from '../../output/titles.ts';
import { inSession, verb } from '../../verb.ts';

export function addViewList(noun: Command): void {
  verb(noun, 'list', {
    summary: 'Tells where the view is, and lists what is mounted',
    details:
      'Under the folder of the view every backup is always there as VOLUME/BACKUP/volume.img. The list has the folders made by basaltctl mount.',
    examples: ['basaltctl view list', 'basaltctl view list -f json'],
    exits: [],
  }).action(
    inSession(async (session) => {
      const whole = await session.call('view.list', { ...session.inProject });
      const initial = ['directory', 'backup_id', 'kind', 'status', 'partition', 'file_system', 'created_at'];
      await session.list(whole.mounts, { titles: mountTitles, initial, whole });
      session.note(
        whole.view_dir === null
          ? 'The daemon was started without a view: --view-dir'
          : `View: ${whole.view_dir}`,
      );
    }),
  );
}
