/** Puts right what a daemon that was killed left half-done, before anything new begins.
 *  Promises: a backup whose manifest is durable is available, one without is in error, and no volume stays locked; files in the
 *  making and mounts of the dead daemon are gone, and only those. Gives a sentence for each thing that it did. */

import { rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { Fault, faults, toFault } from '../base/faults.ts';
import { failReasonLengthMax } from '../base/limits.ts';
import type { Changes } from '../catalog/catalog.ts';
import { recordOf } from '../catalog/rebuild.ts';
import type { BackupRecord } from '../catalog/records.ts';
import { jobHasEnded } from './job-status.ts';
import { type Services, timestamp } from './services.ts';

/** Jobs, files and volumes: needs no repository. */
export async function recoverJobs(services: Pick<Services, 'catalog' | 'clock'>): Promise<string[]> {
  const { catalog } = services;
  const now = timestamp(services.clock);
  const done: string[] = [];
  for (const job of Array.from(catalog.all('jobs'))) {
    if (jobHasEnded(job.status)) continue;
    const path = job.temporary_path;
    // Only a name that a restore gives to a file in the making is ever removed.
    if (path !== null && /^\..*\.basalt-[0-9a-f]+\.partial$/.test(basename(path))) {
      done.push(
        await rm(path, { force: true }).then(
          () => `Removed "${path}", which a restore was making`,
          (thrown: unknown) => `Cannot remove "${path}", which a restore was making: ${String(thrown)}`,
        ),
      );
    }
    const fault = {
      code: 'INTERRUPTED',
      message: `Interrupted job "${job.id}": the daemon was stopped`,
      hint: faults.INTERRUPTED.hint,
    } as const;
    await catalog.commit((changes) =>
      changes.put('jobs', { ...job, status: 'failed', finished_at: now, temporary_path: null, fault }),
    );
    done.push(`Job "${job.id}" (${job.kind}) was interrupted`);
  }
  for (const volume of Array.from(catalog.all('volumes'))) {
    if (volume.status !== 'backing-up' && volume.status !== 'restoring-backup') continue;
    const status = volume.status === 'backing-up' ? 'available' : 'error_restoring';
    await catalog.commit((changes) => changes.put('volumes', { ...volume, status }));
    done.push(`Volume "${volume.name}" is ${status} again`);
  }
  return done;
}

/** Backups of a repository that were in the middle of something. Needs the repository, which alone knows whether a backup
 *  exists. */
export async function recoverBackups(services: Services, repository: string): Promise<string[]> {
  const done: string[] = [];
  for (const backup of Array.from(services.catalog.backups.unsettled())) {
    if (backup.repository !== repository) continue;
    try {
      const change = await changeFor(services, backup);
      if (change === undefined) continue;
      await services.catalog.commit(change.apply);
      done.push(`Backup "${backup.id}" was ${backup.status}: ${change.what}`);
    } catch (thrown) {
      // One that can't be put right now must not keep the others from it.
      done.push(`Backup "${backup.id}" stays ${backup.status}: ${toFault(thrown).message}`);
    }
  }
  return done;
}

async function changeFor(
  services: Services,
  backup: BackupRecord,
): Promise<{ apply: (changes: Changes) => void; what: string } | undefined> {
  if (services.jobs.activeFor(backup.id).length > 0) return undefined;
  const now = timestamp(services.clock);
  const repository = await services.repositories.of(backup);
  switch (backup.status) {
    case 'creating': {
      const manifest = await repository.manifest(backup.id).catch((thrown: unknown) => {
        if (thrown instanceof Fault && thrown.code === 'MANIFEST_MISSING') return undefined;
        throw thrown;
      });
      const failed = {
        ...backup,
        status: 'error',
        fail_reason: 'the daemon was stopped before it was complete',
        updated_at: now,
      } as const;
      const record: BackupRecord =
        manifest === undefined ? failed : recordOf(manifest, backup.repository, now);
      const what =
        manifest === undefined ? 'it is in error now' : 'its manifest was written, it is available';
      return { apply: (changes) => changes.put('backups', record), what };
    }
    case 'restoring':
      return {
        apply: (changes) => changes.put('backups', { ...backup, status: 'available', updated_at: now }),
        what: 'it is available again',
      };
    case 'deleting': {
      const failed = await repository.removeManifest(backup.id).then(() => undefined, toFault);
      if (failed !== undefined) {
        const fail_reason = failed.message.slice(0, failReasonLengthMax);
        const record = { ...backup, status: 'error_deleting', fail_reason, updated_at: now } as const;
        return { apply: (changes) => changes.put('backups', record), what: fail_reason };
      }
      return { apply: (changes) => changes.remove('backups', backup.id), what: 'its deletion was finished' };
    }
    case 'available':
    case 'error':
    case 'error_deleting':
    case 'deleted':
      break;
  }
  return undefined;
}
