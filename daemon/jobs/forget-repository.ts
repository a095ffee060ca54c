/** Forgets a repository that was added. Promises: nothing that a job or a mount uses is taken away; without `force` no record of a
 *  backup is lost; the repository itself is not touched. */

import { Fault } from '../base/faults.ts';
import { type BackupRecord, defaultRepository } from '../catalog/records.ts';
import type { KnownRepository } from './repositories.ts';
import type { Services } from './services.ts';

export async function forgetRepository(
  services: Services,
  name: string,
  force: boolean,
): Promise<KnownRepository & { readonly forgotten: number }> {
  const { catalog, repositories } = services;
  const known = repositories.known(name);
  if (name === defaultRepository) {
    throw new Fault('INVALID_ARGUMENT', `Cannot remove repository "${name}": it is the one of the settings`, {
      hint: 'Change the setting "repository" and restart basaltd',
    });
  }
  const backups = [...catalog.all('backups')].filter(({ repository }) => repository === name);
  if (backups.length > 0 && !force) {
    throw new Fault(
      'REPOSITORY_USED',
      `Cannot remove repository "${name}": ${backups.length} backups are known of it`,
    );
  }
  refuseWhileUsed(services, name, backups);
  for (const { id } of backups) services.view()?.dropBackup(id);
  await repositories.remove(name, backups);
  return { ...known, forgotten: backups.length };
}

/** A job on a whole repository may be on this one. */
function refuseWhileUsed({ catalog, jobs }: Services, name: string, backups: readonly BackupRecord[]): void {
  const message = `Cannot remove repository "${name}"`;
  const ids = new Set(backups.map(({ id }) => id));
  for (const { record } of jobs.active()) {
    if (record.backup_id !== null && !ids.has(record.backup_id)) continue;
    throw new Fault('REPOSITORY_LOCKED', `${message}: job "${record.id}" (${record.kind}) uses it`, {
      hint: 'Wait until it has ended: basaltctl job list',
    });
  }
  for (const mount of catalog.all('mounts')) {
    if (!ids.has(mount.backup_id)) continue;
    throw new Fault(
      'BACKUP_BUSY',
      `${message}: backup "${mount.backup_id}" is mounted at "${mount.directory}"`,
    );
  }
}
