/** The usage of every project equals the sum over its backups, after any creates, deletions, cancels, rebuilds and kills.
 *  BASALT_PROPERTY_SEED: the seed of an earlier run. */

import { truncateSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RemoteFailure } from '../../client/failure.ts';
import { GiB } from '../../daemon/base/bytes.ts';
import type { BackupValue } from '../../daemon/protocol/values.ts';
import { Daemon, eventually } from '../support/daemon.ts';
import { sourceOf } from '../support/fault-world.ts';
import { noise } from '../support/volume-model.ts';

const seed = Number(process.env['BASALT_PROPERTY_SEED'] ?? Date.now() % 2 ** 31);
const projects = ['default', 'web'];
const volumes = ['small', 'large', 'slow'];

let daemon: Daemon;
beforeAll(async () => {
  daemon = await Daemon.start({ memoryLimit: '64MiB' });
  writeFileSync(sourceOf(daemon, 'small'), noise(100_000, 1));
  writeFileSync(sourceOf(daemon, 'large'), '');
  truncateSync(sourceOf(daemon, 'large'), GiB + 1);
  writeFileSync(sourceOf(daemon, 'slow'), noise(4 * 2 ** 20, 2));
  for (const name of volumes) await daemon.addVolume(name, sourceOf(daemon, name));
  await daemon.call('quota.set', { project: 'web', backups: 3 });
});
afterAll(() => daemon.dispose());

const backupsOf = async (project: string): Promise<BackupValue[]> =>
  (await daemon.call('backup.list', { project })).backups;

/** What is refused is part of the game: busy volumes, full quotas. */
const attempt = <T>(call: Promise<T>): Promise<T | undefined> =>
  call.catch((thrown: unknown) => {
    if (thrown instanceof RemoteFailure && thrown.fault.code !== 'INTERNAL') return undefined;
    throw thrown;
  });

const project = fc.constantFrom(...projects);
const operation = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('create'), project, volume: fc.constantFrom(...volumes) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete'), project, which: fc.nat(10) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rebuild') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('kill'), afterMs: fc.nat(30) }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

async function apply(next: Operation): Promise<void> {
  if (next.kind === 'create' && 'volume' in next) {
    const rate = next.volume === 'slow' ? 2 ** 21 : 0;
    await attempt(daemon.call('backup.create', { volume: next.volume, project: next.project, rate }));
  } else if (next.kind === 'delete' && 'which' in next) {
    const backups = await backupsOf(next.project);
    const backup = backups[next.which % Math.max(1, backups.length)];
    if (backup === undefined) return;
    await attempt(daemon.call('backup.delete', { backup: backup.id, project: next.project, force: true }));
  } else if (next.kind === 'cancel') {
    const { jobs } = await daemon.call('job.list', { active: true });
    for (const { id } of jobs) await daemon.call('job.cancel', { job: id });
  } else if (next.kind === 'rebuild') await attempt(daemon.call('catalog.rebuild', {}));
  else if ('afterMs' in next) {
    await wait(next.afterMs);
    await daemon.kill();
    await daemon.start();
  }
}

async function settled(): Promise<void> {
  await eventually('every job has ended', async () => {
    const active = projects.map((one) => daemon.call('job.list', { active: true, project: one }));
    return (await Promise.all(active)).every(({ jobs }) => jobs.length === 0);
  });
}

test('the usage of a project is the sum over its backups after random creates, deletions, cancels and kills', async () => {
  process.stdout.write(`quota: seed ${seed}\n`);
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { minLength: 6, maxLength: 16, size: 'max' }),
      async (operations) => {
        for (const next of operations) await apply(next);
        await settled();
        for (const one of projects) {
          const backups = await backupsOf(one);
          const sum = (value: (backup: BackupValue) => number) =>
            backups.reduce((all, backup) => all + value(backup), 0);
          const usage = await daemon.call('quota.usage', { project: one });
          expect(usage).toMatchObject({
            backups: { in_use: backups.length, reserved: 0 },
            backup_gigabytes: { in_use: sum(({ size }) => size), reserved: 0 },
            logical_bytes: sum(({ size_bytes }) => size_bytes),
            new_bytes: sum(({ new_bytes }) => new_bytes),
            stored_bytes: sum(({ stored_bytes }) => stored_bytes),
          });
          if (one === 'web') expect(usage.backups.in_use).toBeLessThanOrEqual(3);
        }
      },
    ),
    { seed, numRuns: 10 },
  );
});
