/** `basaltctl events`: what has happened to backups, and with --follow what happens from now on. */

import { type Command, Option } from 'commander';
import { Fault } from '../../daemon/protocol/faults.ts';
import type { EventValue } from '../../daemon/protocol/values.ts';
import { chooseFields } from '../output/columns.ts';
import { eventLine } from '../output/event-line.ts';
import { jsonLine } from '../output/json.ts';
import { eventTitles } from '../output/titles.ts';
import { defined, type Session } from '../session.ts';
import { inSession, verb, wholeNumber } from '../verb.ts';

interface Options {
  follow?: boolean;
  last?: number;
  kind?: (typeof kinds)[number];
  backup?: string;
  allProjects?: boolean;
}

const kinds = ['create', 'restore', 'delete'] as const;
const lastOfFollow = 10;

export function addEvents(program: Command): void {
  verb(program, 'events', {
    summary: 'Shows what has happened to backups, and with --follow what happens',
    details:
      'Each backup, restore and deletion has a start, progress now and then, and an end, which tells the reason of a failure. With -f json each event is one line. The daemon remembers the last 1000 since it started.',
    examples: [
      'basaltctl events --last 20',
      'basaltctl events --follow -f json',
      'basaltctl events --follow --kind create --backup nightly',
    ],
    exits: [69],
  })
    .option('--follow', 'go on until Ctrl-C, or until the daemon stops')
    .option('--last <COUNT>', 'only the newest so many of the past (100; 10 with --follow)', wholeNumber)
    .addOption(new Option('--kind <KIND>', 'only of this kind').choices(kinds))
    .option('--backup <BACKUP>', 'only of this backup, by name or id')
    .option('--all-projects', 'of every project that you may act for')
    .action(
      inSession(async (session, { follow, last, kind, backup, allProjects }: Options) => {
        const filter = { ...defined({ kind, backup, all_projects: allProjects }), ...session.inProject };
        if (follow === true) {
          const print = printerOf(session);
          await session.follow({ ...filter, last: last ?? lastOfFollow }, print);
          return;
        }
        const { events } = await session.call('events.list', { ...filter, ...defined({ limit: last }) });
        if (session.format === 'json') for (const event of events) printerOf(session)(event);
        else await session.list(events, { titles: eventTitles, initial: shown });
        if (events.length === 0) session.note('No events.');
      }),
    );
}

const shown = ['time', 'event', 'volume_name', 'backup_id', 'status', 'percent', 'fail_reason'];

/** Lines as events come: a table would never end. */
function printerOf(session: Session): (event: EventValue) => void {
  const { columns, format } = session;
  if (format === 'json')
    return (event) => process.stdout.write(jsonLine(chooseFields(columns, { ...event })));
  if (format === 'table' || format === 'value') return (event) => process.stdout.write(eventLine(event));
  throw new Fault('USAGE', `Cannot follow events as "${format}"`, {
    hint: 'Choose -f json, one event a line, or leave -f out',
  });
}
