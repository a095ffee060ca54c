/** `basaltctl backup delete`: deletes backups one after the other, and goes on where one fails. */

import type { Command } from 'commander';
import { Detached, failureOf, RemoteFailure } from '../../failure.ts';
import type { Session } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  force?: boolean;
  wait: boolean;
}

export function addBackupDelete(noun: Command): void {
  verb(noun, 'delete', {
    summary: 'Deletes backups',
    details: 'Waits until each is gone. Where one fails, the others are deleted all the same.',
    examples: ['basaltctl backup delete monday tuesday', 'basaltctl backup delete nightly --no-wait'],
    exits: [65, 66, 74, 75, 130],
  })
    .argument('<BACKUP...>', 'names or ids')
    .option('--force', 'also in status error or creating')
    .option('--wait', 'wait until they are gone', true)
    .option('--no-wait', 'only start the deletion, and print the jobs')
    .action(
      inSession(async (session, options: Options, backups: string[]) => {
        const started: { backup: string; job_id: string }[] = [];
        const failed: unknown[] = [];
        for (const backup of backups) {
          try {
            started.push({ backup, job_id: await deleteOne(session, backup, options) });
          } catch (thrown) {
            if (thrown instanceof Detached || backups.length === 1) throw thrown;
            failed.push(thrown);
            session.complain(thrown);
          }
        }
        if (!options.wait) {
          const titles = { backup: 'Backup', job_id: 'Job ID' };
          await session.list(started, { titles, initial: ['backup', 'job_id'] });
        }
        if (failed.length > 0) throw manyFailed(failed, backups.length);
      }),
    );
}

async function deleteOne(session: Session, backup: string, { force, wait }: Options): Promise<string> {
  const params = { backup, ...(force === undefined ? {} : { force }), ...session.inProject };
  const { job_id } = await session.call('backup.delete', params);
  if (wait) {
    await session.wait(job_id);
    session.note(`Deleted backup "${backup}"`);
  }
  return job_id;
}

/** The first failure decides the exit status: each has been told already. */
function manyFailed(failed: readonly unknown[], total: number): RemoteFailure {
  return new RemoteFailure({
    code: failureOf(failed[0]).code,
    message: `${failed.length} of ${total} backups failed to delete.`,
    hint: 'The lines above say why, one by one',
  });
}
