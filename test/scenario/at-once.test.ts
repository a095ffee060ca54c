/** Many things at the same time, and things that are stopped in the middle. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codeOfCall, type Daemon } from '../support/daemon.ts';
import {
  addNoise,
  daemonForTest,
  expectFailedBackup,
  expectRestores,
  leftovers,
  MiB,
  sourceOf,
  underWay,
} from '../support/fault-world.ts';
import { firstDifference, noise } from '../support/volume-model.ts';

const cancelMs = 1000;

/** Cancels a job that is under way, and says how long that took. */
async function timedCancel(daemon: Daemon, jobId: string): Promise<number> {
  await underWay(daemon, jobId);
  const before = performance.now();
  expect(await daemon.call('job.cancel', { job: jobId })).toMatchObject({ status: 'cancelled' });
  return performance.now() - before;
}

test('a cancelled backup ends within a second and gives its volume back', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 320 * MiB, 1);
  const { job_id: job } = await daemon.call('backup.create', { volume: 'v' });
  expect(await timedCancel(daemon, job)).toBeLessThan(cancelMs);
  await expectFailedBackup(daemon, 'v', /^Cancelled/);
  await expectRestores(daemon, (await daemon.backUp('v')).id, bytes);
  await daemon.done(daemon.call('repository.check', { read_data: true }));
});

test('a cancelled restore ends within a second, and its new file goes away', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 320 * MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  const target = join(daemon.folder, 'cancelled.out');
  const { job_id: job } = await daemon.call('backup.restore', { backup, target });
  expect(await timedCancel(daemon, job)).toBeLessThan(cancelMs);
  expect(leftovers(daemon.folder)).toEqual([]);
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
});

test('backups at once that share most of their blocks all restore, the moment each is done', async () => {
  const daemon = await daemonForTest();
  const shared = noise(12 * MiB, 1);
  const volumes = Array.from({ length: 8 }, (_, number) => {
    const bytes = Buffer.concat([noise(70_000 * number, number + 2), shared, noise(999, number)]);
    writeFileSync(sourceOf(daemon, `v${number}`), bytes);
    return { name: `v${number}`, bytes };
  });
  for (const { name } of volumes) await daemon.addVolume(name, sourceOf(daemon, name));
  for (const incremental of [false, true]) {
    await Promise.all(
      volumes.map(async ({ name, bytes }) => {
        const { id } = await daemon.backUp(name, incremental);
        await expectRestores(daemon, id, bytes);
      }),
    );
  }
  await daemon.done(daemon.call('repository.check', { read_data: true }));
});

test('fifteen restores of one backup at once stay within the memory budget and leave it available', async () => {
  const daemon = await daemonForTest({ memoryLimit: '64MiB' });
  const bytes = await addNoise(daemon, 'v', 16 * MiB + 5, 1);
  const { id: backup } = await daemon.backUp('v');
  for (const round of [1, 2, 3]) {
    const targets = Array.from({ length: 15 }, (_, n) => join(daemon.folder, `r${round}-${n}.out`));
    await Promise.all(
      targets.map((target, n) => {
        if (n % 3 === 0) writeFileSync(target, noise(bytes.length, n));
        const how = { force: n % 3 === 0, differential: n % 2 === 0 };
        return daemon.done(daemon.call('backup.restore', { backup, target, ...how }));
      }),
    );
    for (const target of targets) expect(firstDifference(readFileSync(target), bytes)).toBe(-1);
    expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
  }
  const { memory, jobs } = await daemon.call('status', {});
  expect(memory.peak_bytes).toBeLessThanOrEqual(memory.limit_bytes);
  expect(memory.waiting).toEqual([]);
  expect(jobs).toEqual({ running: 0, queued: 0 });
});

test('a restore and a deletion of the same backup at once never bring the backup back', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', MiB, 1);
  for (let round = 0; round < 25; round += 1) {
    const { id: backup } = await daemon.backUp('v');
    const target = join(daemon.folder, `raced-${round}.out`);
    const restore = daemon.call('backup.restore', { backup, target });
    const deletion = daemon.call('backup.delete', { backup });
    const both = await Promise.allSettled([restore, deletion]);
    for (const call of both) if (call.status === 'fulfilled') await daemon.ended(call.value.job_id);
    expect(both.map(({ status }) => status)).toContain('rejected');
    const isDeleted = both[1].status === 'fulfilled';
    const shown = await codeOfCall(daemon.call('backup.show', { backup }));
    expect(shown).toBe(isDeleted ? 'BACKUP_UNKNOWN' : 'it succeeded');
    if (!isDeleted) await daemon.done(daemon.call('backup.delete', { backup }));
  }
});

test('two restores to one volume at once: one is refused as busy, the other leaves the volume available', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 8 * MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  writeFileSync(sourceOf(daemon, 'target'), noise(8 * MiB, 2));
  await daemon.addVolume('target', sourceOf(daemon, 'target'));
  const order = { backup, target: 'target', force: true };
  const both = [daemon.call('backup.restore', order), daemon.call('backup.restore', order)] as const;
  const codes = await Promise.all(both.map(codeOfCall));
  expect(codes.sort()).toEqual(['VOLUME_BUSY', 'it succeeded']);
  for (const call of await Promise.allSettled(both))
    if (call.status === 'fulfilled') await daemon.done(call.value);
  expect(await daemon.call('volume.show', { volume: 'target' })).toMatchObject({ status: 'available' });
  expect(firstDifference(readFileSync(sourceOf(daemon, 'target')), bytes)).toBe(-1);
});

test('a check while backups are made and deleted raises no false alarm', async () => {
  const daemon = await daemonForTest();
  for (const n of [1, 2, 3]) await addNoise(daemon, `v${n}`, 3 * MiB, n);
  // The check has to read all of this, while packs and manifests come and go.
  await addNoise(daemon, 'large', 160 * MiB, 4);
  await daemon.backUp('large');
  const churnEnds = new AbortController();
  const churn = [1, 2, 3].map(async (n) => {
    while (!churnEnds.signal.aborted) {
      writeFileSync(
        sourceOf(daemon, `v${n}`),
        noise(3 * MiB, Math.floor(performance.now() * 1000) % 2 ** 31),
      );
      const { id: backup } = await daemon.backUp(`v${n}`);
      if (n !== 1) await daemon.done(daemon.call('backup.delete', { backup }));
    }
  });
  try {
    for (let times = 0; times < 5; times += 1)
      await daemon.done(daemon.call('repository.check', { read_data: true }));
  } finally {
    churnEnds.abort();
    await Promise.all(churn);
  }
});

test('a rebuild of the catalog and a backup at once keep out of each other, and nothing acknowledged is dropped', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 4 * MiB, 1);
  const made: string[] = [(await daemon.backUp('v')).id];
  for (let round = 0; round < 12; round += 1) {
    const rebuild = daemon.call('catalog.rebuild', {});
    const backup = daemon.call('backup.create', { volume: 'v' });
    const both = await Promise.allSettled([rebuild, backup]);
    for (const call of both) if (call.status === 'fulfilled') await daemon.done(call.value);
    expect(both.some(({ status }) => status === 'fulfilled')).toBe(true);
    if (both[1].status === 'fulfilled') made.push(both[1].value.backup.id);
  }
  const { backups } = await daemon.call('backup.list', {});
  expect(backups.map(({ id }) => id).sort()).toEqual([...made].sort());
  const last = made.at(-1) ?? '';
  await expectRestores(daemon, last, bytes);
  expect(existsSync(join(daemon.folder, `compare-${last}.out`))).toBe(false);
});
