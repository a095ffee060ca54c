/** Volumes of LVM in use, backed up with --force: each is read from a snapshot of one moment, which is gone afterwards, however the
 *  backup came to its end. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { holdOpen } from '../../support/devices.ts';
import { daemonForTest, MiB, underWay } from '../../support/fault-world.ts';
import {
  attributes,
  bytesOf,
  expectNone,
  groupWith,
  overwrite,
  pause,
  sizeBytes,
  snapshotsOf,
  unlimited,
  volumesOf,
} from '../support/lvm-world.ts';
import { momentOf, startWriter } from '../support/writer.ts';

describe.each(['thick', 'thin'] as const)('%s', (kind) => {
  test('a volume that is written to all the time is backed up as of one moment', async () => {
    const { group, path } = groupWith(kind);
    const before = volumesOf(group);
    const daemon = await daemonForTest();
    await daemon.addVolume('shop', path);
    const writer = await startWriter(path, sizeBytes, pause);
    expect((await daemon.basaltctl('backup', 'create', 'shop')).status).toBe(75);
    const order = { volume: 'shop', force: true, rate: 4 * MiB };

    const cancelled = await daemon.call('backup.create', order);
    await underWay(daemon, cancelled.job_id);
    expect(snapshotsOf(group)).toHaveLength(1);
    await daemon.call('job.cancel', { job: cancelled.job_id });
    expectNone(group, before);

    const whole = await daemon.call('backup.create', { ...order, rate: 16 * MiB });
    await underWay(daemon, whole.job_id);
    const [snapshot = ''] = snapshotsOf(group);
    expect(attributes(group, snapshot)).toMatch(kind === 'thick' ? /^sri-a.* basalt$/ : /^Vri-a.* basalt$/);
    await daemon.done(whole);
    expectNone(group, before);

    const killed = await daemon.call('backup.create', order);
    await underWay(daemon, killed.job_id);
    const there = snapshotsOf(group);
    expect(there).toHaveLength(1);
    await daemon.kill();
    await daemon.start();
    expect(snapshotsOf(group)).toEqual(there);
    await unlimited(daemon, killed.job_id);
    await daemon.done(killed);
    expectNone(group, before);

    await writer.stop();
    const first = momentOf(await bytesOf(daemon, whole.backup));
    const second = momentOf(await bytesOf(daemon, killed.backup));
    expect(first).toBeGreaterThanOrEqual(64);
    expect(second).toBeGreaterThan(first);
    expect(momentOf(readFileSync(path))).toBeGreaterThan(second);
    expect(await daemon.call('backup.show', { backup: whole.backup.id })).toMatchObject({
      temp_snapshot_id: null,
      consistency: expect.stringMatching(/^crash-consistent: read from a temporary snapshot/) as string,
      consistency_evidence: {
        read_from: 'temporary-snapshot',
        used_by: [expect.stringMatching(/^open for writing by process/) as string],
      },
    });
  });
});

describe('room', () => {
  test('a thick snapshot whose room runs out ends the backup with the reason', async () => {
    const { group, path } = groupWith('thick', 2);
    const daemon = await daemonForTest();
    await daemon.addVolume('shop', path);
    await holdOpen(path, '<>');
    const started = await daemon.call('backup.create', { volume: 'shop', force: true, rate: MiB });
    await underWay(daemon, started.job_id);
    overwrite(path, 16);
    const failed = await daemon.failed(Promise.resolve(started), 'SNAPSHOT_LOST');
    expect(failed.fault?.message).toMatch(/of "group\d+\/shop": more was written to the volume than/);
    expect(snapshotsOf(group)).toEqual([]);
    expect(await daemon.call('backup.show', { backup: started.backup.id })).toMatchObject({
      status: 'error',
    });
    expect(await daemon.call('volume.show', { volume: 'shop' })).toMatchObject({ status: 'available' });
  });

  test('a group without room, and a pool that is nearly full, get no snapshot, and the evidence says why', async () => {
    const thick = groupWith('thick', 0);
    const thin = groupWith('thin');
    overwrite(thin.path, 16);
    const daemon = await daemonForTest({ settings: 'lvm_pool_limit = 20\n' });
    for (const [name, { group, path }, why] of [
      ['thick', thick, /^volume group "group\d+" has too little room: 0 bytes$/],
      ['thin', thin, /^the data of thin pool "group\d+\/pool" is used up to 20 %, .* limit of 20 %$/],
    ] as const) {
      await daemon.addVolume(name, path);
      await holdOpen(path, '<>');
      const started = await daemon.call('backup.create', { volume: name, force: true });
      await daemon.done(started);
      expect(snapshotsOf(group)).toEqual([]);
      const { consistency_evidence } = await daemon.call('backup.show', { backup: started.backup.id });
      expect(consistency_evidence).toMatchObject({
        read_from: 'source',
        no_snapshot: expect.stringMatching(why) as string,
      });
    }
  });
});
