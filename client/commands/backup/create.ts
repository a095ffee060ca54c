/** `basaltctl backup create`: starts a backup of a volume, and waits for it where that is wanted. */

import type { Command } from 'commander';
import type { BackupValue, JobValue } from '../../../daemon/protocol/values.ts';
import { readExtents } from '../../extents.ts';
import { bytesText } from '../../output/units.ts';
import { collectProperty } from '../../properties.ts';
import { parseRate } from '../../rate.ts';
import { defined, type Session } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  snapshot?: string;
  incremental?: boolean;
  force?: boolean;
  skipErrors?: boolean;
  name?: string;
  description?: string;
  property?: Readonly<Record<string, string>>;
  container?: string;
  availabilityZone?: string;
  repository?: string;
  rate?: number;
  changedExtents?: string;
  changedSince?: string;
  wait?: boolean;
}

export function addBackupCreate(noun: Command): void {
  verb(noun, 'create', {
    summary: 'Starts a backup of a volume',
    details:
      'Prints the id of the backup and of its job at once; with --wait, shows the progress and prints the finished record. ' +
      'A list of changed extents is the JSON of "rbd diff --format json", or a line "OFFSET LENGTH" each, in bytes and in order; ' +
      'a sample of what it leaves out is compared all the same.',
    examples: [
      'basaltctl backup create web --wait',
      'basaltctl backup create web --incremental --name nightly --property reason=upgrade',
      'rbd diff --format json --from-snap mon pool/web@tue | basaltctl backup create web --incremental --changed-extents -',
    ],
    exits: [65, 66, 74, 75, 130],
  })
    .argument('<VOLUME>', 'name or id')
    .option('--snapshot <SNAPSHOT>', 'back up this snapshot of the volume, by name or id')
    .option('--incremental', 'store only what differs from the newest backup of the volume')
    .option('--no-incremental', 'read the whole volume (the default)')
    .option(
      '--force',
      'back up a source that is in use: from a temporary snapshot where it can make one, else as it is',
    )
    .option(
      '--skip-errors',
      'take what the source does not give as zeros; the backup tells which ranges (consistency_evidence)',
    )
    .option('--name <NAME>', 'name of the backup')
    .option('--description <TEXT>', 'description of the backup')
    .option('--property <KEY=VALUE>', 'property of the backup; may be repeated', collectProperty)
    .option('--container <CONTAINER>', 'container, for records that keep one')
    .option('--availability-zone <ZONE>', 'availability zone to record')
    .option('--repository <REPOSITORY>', 'repository that gets it (default)')
    .option('--rate <RATE>', 'bytes a second for this backup alone; 50MiB', parseRate)
    .option(
      '--changed-extents <FILE>',
      'with --incremental: read only what changed since the parent, by this list ("-": standard input)',
    )
    .option(
      '--changed-since <BACKUP>',
      'the backup that the list starts from; refused if it is not the parent',
    )
    .option('--wait', 'wait until the backup is done')
    .action(
      inSession(async (session, options: Options, volume: string) => {
        const params = { ...(await paramsOf(options)), ...session.inProject };
        const { backup, job_id } = await session.call('backup.create', { volume, ...params });
        if (options.wait !== true) {
          const { id, name, volume_id } = backup;
          await session.one({ id, name, volume_id, job_id });
          return;
        }
        noteHints(session, (await session.wait(job_id)).result);
        const made = await session.call('backup.show', { backup: backup.id, ...session.inProject });
        noteLost(session, made);
        await session.one(made);
      }),
    );
}

function noteHints(session: Session, result: JobValue['result']): void {
  if (typeof result?.['hints'] !== 'string') return;
  const kept = bytesText(Number(result['kept_bytes']));
  session.note(`Changed extents: ${result['hints']}; ${kept} not read`);
}

function noteLost(session: Session, { consistency_evidence }: BackupValue): void {
  const lost = consistency_evidence?.unreadable;
  if (lost === undefined) return;
  session.note(`${bytesText(lost.bytes)} of the source could not be read, and are zeros in the backup`);
}

async function paramsOf(options: Options) {
  const { changedExtents: extents } = options;
  return defined({
    snapshot: options.snapshot,
    incremental: options.incremental,
    force: options.force,
    skip_errors: options.skipErrors,
    name: options.name,
    description: options.description,
    properties: options.property,
    container: options.container,
    repository: options.repository,
    availability_zone: options.availabilityZone,
    rate: options.rate,
    changed_extents: extents === undefined ? undefined : await readExtents(extents),
    changed_since: options.changedSince,
  });
}
