/** A SCSI disk that reports medium errors, as disks and arrays do: the kernel has another word for them than for other errors. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { daemonForTest, expectRestores, MiB } from '../../support/fault-world.ts';
import { noise } from '../../support/volume-model.ts';
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

test('medium errors of a SCSI disk are read around, sector by sector', async () => {
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
  const disk = `/dev/${await eventually('the disk', madeDisk)}`;
  settled();
  const bytes = noise(8 * MiB, 3);
  writeFileSync(disk, bytes, { flush: true });
  // What the kernel has read ahead does not fail.
  run('blockdev', '--flushbufs', disk);
  const failReads = (on: boolean) => writeFileSync('/sys/bus/pseudo/drivers/scsi_debug/opts', on ? '2' : '0');
  failReads(true);
  onTestFinished(() => failReads(false));
  bytes.fill(0, lost.offset, lost.offset + lost.length);
  const daemon = await daemonForTest();
  await daemon.addVolume('v', disk);
  const job = await daemon.failed(daemon.call('backup.create', { volume: 'v' }), 'SOURCE_READ_FAILED');
  expect(job.result).toMatchObject({ unreadable: [lost] });
  const started = await daemon.call('backup.create', { volume: 'v', skip_errors: true });
  await daemon.done(started);
  const made = await daemon.call('backup.show', { backup: started.backup.id });
  expect(made.consistency_evidence?.unreadable?.ranges).toEqual([lost]);
  await expectRestores(daemon, made.id, bytes);
});
