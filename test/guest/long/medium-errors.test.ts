/** A SCSI disk that reports medium errors, as disks and arrays do: the kernel has another word for them than for other errors, and
 *  tells them from the loss of a path. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { type Daemon, eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { daemonForTest, expectRestores, MiB } from '../../support/fault-world.ts';
import { noise } from '../../support/volume-model.ts';
import { ArrayVolume, Target } from '../support/lio.ts';
import { daemonOfGuest, hostReady, urlOf } from '../support/remote.ts';
import { settled } from '../support/services.ts';

const sectorBytes = 512;
const [first, count] = [4000, 3];
const lost = { offset: first * sectorBytes, length: count * sectorBytes };

/** Any disk of SCSI of the kernel's own making. */
const madeDisk = (): string | undefined =>
  readdirSync('/sys/block').find(
    (name) =>
      name.startsWith('sd') && readFileSync(`/sys/block/${name}/device/model`, 'utf8').includes('scsi_debug'),
  );

interface BadDisk {
  readonly name: string;
  readonly address: string;
  /** What can be had of it, with zeros for what can't. */
  readonly bytes: Buffer;
}

/** A disk of noise whose bad sectors are bad from now on. */
async function badDisk(): Promise<BadDisk> {
  run('modprobe', 'sd_mod');
  const place = [`medium_error_start=${first}`, `medium_error_count=${count}`];
  run('modprobe', 'scsi_debug', 'dev_size_mb=8', 'delay=0', ...place);
  onTestFinished(async () => {
    await eventually('the disk goes', () => {
      try {
        run('modprobe', '--remove', 'scsi_debug');
        return true;
      } catch {
        return false;
      }
    });
  });
  const name = await eventually('the disk', madeDisk);
  settled();
  const bytes = noise(8 * MiB, 3);
  writeFileSync(`/dev/${name}`, bytes, { flush: true });
  // What the kernel has read ahead does not fail.
  run('blockdev', '--flushbufs', `/dev/${name}`);
  const failReads = (on: boolean) => writeFileSync('/sys/bus/pseudo/drivers/scsi_debug/opts', on ? '2' : '0');
  failReads(true);
  onTestFinished(() => failReads(false));
  bytes.fill(0, lost.offset, lost.offset + lost.length);
  const [address = ''] = readdirSync(`/sys/block/${name}/device/scsi_device`);
  return { name, address, bytes };
}

/** Of volume "v". */
async function expectReadAround(daemon: Daemon, bytes: Buffer): Promise<void> {
  const job = await daemon.failed(daemon.call('backup.create', { volume: 'v' }), 'SOURCE_READ_FAILED');
  expect(job.result).toMatchObject({ unreadable: [lost] });
  const started = await daemon.call('backup.create', { volume: 'v', skip_errors: true });
  await daemon.done(started);
  const made = await daemon.call('backup.show', { backup: started.backup.id });
  expect(made.consistency_evidence?.unreadable?.ranges).toEqual([lost]);
  await expectRestores(daemon, made.id, bytes);
}

test('medium errors of a SCSI disk are read around, sector by sector', async () => {
  const { name, bytes } = await badDisk();
  const daemon = await daemonForTest();
  await daemon.addVolume('v', `/dev/${name}`);
  await expectReadAround(daemon, bytes);
});

test('medium errors of an array are no loss of a path: the same over a map of two', async () => {
  await hostReady();
  const { name, address, bytes } = await badDisk();
  const target = Target.start();
  target.addLun(1, ArrayVolume.passing(`/dev/${name}`, address));
  const daemon = await daemonOfGuest();
  await daemon.addVolume('v', urlOf(target, 1));
  await daemon.done(daemon.call('device.attach', { volume: 'v', access: 'read' }));
  await expectReadAround(daemon, bytes);
  const { map, paths } = await daemon.call('device.show', { device: 'v' });
  expect(map).not.toBeNull();
  expect(paths.map(({ state }) => state)).toEqual(['active', 'active']);
  const failed = run('multipathd', 'show', 'maps', 'raw', 'format', '%n|%0');
  expect(failed).toContain(`${map}|0`);
  await daemon.done(daemon.call('device.detach', { device: 'v' }));
});
