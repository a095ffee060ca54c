/** Deletions that the end of the daemon cut off are finished at its next start, under their ids. */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openLmdbCatalog } from '../../daemon/catalog/lmdb-catalog.ts';
import type { JobRecord } from '../../daemon/catalog/records.ts';
import { backupStatus } from '../../daemon/catalog/statuses.ts';
import { codeOfCall, type Daemon, eventually } from '../support/daemon.ts';
import { addNoise, daemonForTest, MiB } from '../support/fault-world.ts';
import { expectAtRest } from '../support/resume-world.ts';

const id = '00000000-0000-4000-8000-00000000dead';

/** The catalog as a daemon leaves it that dies between the first and the second step of a deletion. */
async function cutOff(daemon: Daemon, backupId: string): Promise<void> {
  await daemon.stop();
  const catalog = openLmdbCatalog(join(daemon.stateDir, 'catalog.mdb'));
  const backup = catalog.get('backups', backupId);
  if (backup === undefined) throw new Error('there is no such backup');
  const queued: JobRecord = {
    id,
    kind: 'delete',
    status: 'queued',
    project_id: backup.project_id,
    backup_id: backup.id,
    volume_id: backup.volume_id,
    created_at: backup.created_at,
    finished_at: null,
    fault: null,
    result: null,
    bytes_done: 0,
    bytes_total: 0,
    temporary_path: null,
    history: [],
    plan: { kind: 'delete', backup_status: 'available' },
    crashes: { position: 0, count: 0 },
  };
  await catalog.commit((changes) => {
    changes.put('backups', backupStatus.move(backup, 'deleting'));
    changes.put('jobs', queued);
    changes.put('jobs', { ...queued, status: 'running' });
  });
  await catalog.close();
}

test('a deletion is finished while commands are taken, and waits for a repository that is locked', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', MiB, 1);
  const backup = await daemon.backUp('v');
  await cutOff(daemon, backup.id);
  const lock = join(daemon.repositoryDir, 'locks', 'exclusive.json');
  mkdirSync(join(lock, '..'), { recursive: true });
  writeFileSync(lock, '{}');
  await daemon.start();
  await eventually('the job says what it waits for', async () => {
    return (await daemon.call('job.show', { job: id })).waiting_for === 'repository';
  });
  expect(await daemon.call('backup.show', { backup: backup.id })).toMatchObject({ status: 'deleting' });
  rmSync(lock);
  const job = await daemon.done({ job_id: id });
  expect(job.history.map(({ event }) => event)).toEqual(['interrupted', 'started', 'done']);
  expect(await codeOfCall(daemon.call('backup.show', { backup: backup.id }))).toBe('BACKUP_UNKNOWN');
  await expectAtRest(daemon);
});

test('with offload_recovery off, it is finished before the first command is taken', async () => {
  const daemon = await daemonForTest({ settings: 'offload_recovery = false\n' });
  await addNoise(daemon, 'v', MiB, 1);
  const backup = await daemon.backUp('v');
  await cutOff(daemon, backup.id);
  await daemon.start();
  expect(await daemon.call('job.show', { job: id })).toMatchObject({ status: 'done' });
  expect(await codeOfCall(daemon.call('backup.show', { backup: backup.id }))).toBe('BACKUP_UNKNOWN');
});
