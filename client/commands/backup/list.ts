/** `basaltctl backup list`: backups, newest first. */

import { type Command, Option } from 'commander';
import type { Result } from '../../../daemon/protocol/methods.ts';
import { backupTitles } from '../../output/titles.ts';
import { defined, type Session } from '../../session.ts';
import { inSession, verb, wholeNumber } from '../../verb.ts';

interface Options {
  long?: boolean;
  name?: string;
  status?: string;
  volume?: string;
  allProjects?: boolean;
  limit?: number;
  maxItems?: number;
  marker?: string;
  sort?: string;
}

/** The last two are Cinder's: no backup is ever listed in them. */
const statuses = [
  'creating',
  'available',
  'restoring',
  'deleting',
  'error',
  'error_deleting',
  'error_restoring',
  'deleted',
];

/** A page where nobody says how long it is. */
const pageItems = 1000;

const short = ['id', 'name', 'description', 'status', 'size_bytes', 'is_incremental', 'created_at'];
const long = [...short, 'availability_zone', 'volume_name', 'container', 'parent_id', 'stored_bytes'];

export function addBackupList(noun: Command): void {
  verb(noun, 'list', {
    summary: 'Lists backups, newest first',
    examples: [
      'basaltctl backup list --volume web --status available',
      'basaltctl backup list --long --sort size_bytes:desc,created_at',
      'basaltctl backup list -f value -c id --limit 1',
    ],
    exits: [66],
  })
    .option('--long', 'more columns')
    .option('--name <NAME>', 'only of this name')
    .addOption(new Option('--status <STATUS>', 'only in this status').choices(statuses))
    .option('--volume <VOLUME>', 'only of this volume, by name or id')
    .option('--all-projects', 'of every project, not only your own')
    .option('--limit <COUNT>', 'at most so many in one page', wholeNumber)
    .option('--max-items <COUNT>', 'go on from page to page until there are so many', wholeNumber)
    .option('--marker <ID>', 'only what follows this backup: how to get the next page')
    .option('--sort <KEY[:DIRECTION],…>', 'keys to sort by, each with asc or desc (created_at:desc)')
    .action(
      inSession(async (session, options: Options) => {
        const { long: isLong, allProjects } = options;
        const { backups, next_marker } = await pages(session, options);
        const columns = isLong ? long : short;
        await session.list(backups, {
          titles: backupTitles,
          initial: allProjects ? [...columns, 'project_id'] : columns,
        });
        if (backups.length === 0) session.note('No backups.');
        if (next_marker !== null) session.note(`More follow: add --marker ${next_marker}`);
      }),
    );
}

type Page = Result<'backup.list'>;

/** One page; with --max-items as many as it takes. */
async function pages(session: Session, options: Options): Promise<Page> {
  const { long: _, allProjects, maxItems, ...filters } = options;
  const wanted = maxItems ?? 0;
  let { marker, limit } = filters;
  const backups: Page['backups'] = [];
  for (;;) {
    if (maxItems !== undefined) limit = Math.min(filters.limit ?? pageItems, wanted - backups.length);
    const page = await session.call('backup.list', {
      ...defined({ ...filters, marker, limit, all_projects: allProjects }),
      ...session.inProject,
    });
    backups.push(...page.backups);
    if (page.next_marker === null || backups.length >= wanted) return { ...page, backups };
    marker = page.next_marker;
  }
}
