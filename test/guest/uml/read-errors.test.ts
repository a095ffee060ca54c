/** Disks with sectors that can't be read: what a backup makes of them, and what it must never make of a disk that has gone. */

import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Daemon } from '../../support/daemon.ts';
import { daemonForTest, expectRestores, MiB } from '../../support/fault-world.ts';
import { noise } from '../../support/volume-model.ts';
import { diskWithBadSectors, mappedDevice, sectorBytes } from '../support/mapped.ts';

const size = 6 * MiB;
/** One alone, the last of a segment with the first of the next, and the very last. */
const bad = [100, 2047, 2048, size / sectorBytes - 1];
const badRanges = [
  { offset: 100 * sectorBytes, length: sectorBytes },
  { offset: 2047 * sectorBytes, length: 2 * sectorBytes },
  { offset: size - sectorBytes, length: sectorBytes },
];

/** A volume "v" on a disk with bad sectors, and what can be had of it. */
async function badVolume(daemon: Daemon): Promise<Buffer> {
  const device = diskWithBadSectors(size, bad);
  const bytes = noise(size, 1);
  writeFileSync(device.disk, bytes, { flush: true });
  for (const { offset, length } of badRanges) bytes.fill(0, offset, offset + length);
  await daemon.addVolume('v', device.path);
  return bytes;
}

test('bad sectors fail a backup, which names them', async () => {
  const daemon = await daemonForTest();
  await badVolume(daemon);
  const job = await daemon.failed(daemon.call('backup.create', { volume: 'v' }), 'SOURCE_READ_FAILED');
  expect(job.fault?.message).toMatch(
    /^Cannot read "block:.*" at bytes \d+ to \d+.*: the device reports an input\/output error$/,
  );
  expect(job.fault?.hint).toContain('--skip-errors');
  // It ends at the first segment that it meets one in.
  expect(job.result?.['unreadable']).toContainEqual({
    offset: expect.any(Number),
    length: sectorBytes,
  });
  const named = JSON.stringify(job.result?.['unreadable']);
  expect(bad.map((sector) => `"offset":${sector * sectorBytes},`).some((text) => named.includes(text))).toBe(
    true,
  );
  expect((await daemon.call('volume.show', { volume: 'v' })).status).toBe('available');
});

test('with --skip-errors the backup holds all that can be read, and says what it lacks', async () => {
  const daemon = await daemonForTest();
  const bytes = await badVolume(daemon);
  const words = ['backup', 'create', 'v', '--skip-errors', '--wait', '-f', 'json'];
  const { status, stdout, stderr } = await daemon.basaltctl(...words);
  expect({ status, stderr }).toMatchObject({ status: 0, stderr: expect.stringContaining('2.0 KiB') });
  const made = JSON.parse(stdout) as { id: string; consistency: string; consistency_evidence: unknown };
  expect(made.consistency).toBe('incomplete: 2048 bytes could not be read; clean');
  expect(made.consistency_evidence).toMatchObject({
    unreadable: { ranges: badRanges, bytes: 4 * sectorBytes, exact: true },
  });
  await expectRestores(daemon, made.id, bytes);
  // What a list of changes does not name may be there again now.
  const changes = { incremental: true, changed_extents: [[0, 65536]] as [number, number][] };
  const next = await daemon.call('backup.create', { volume: 'v', skip_errors: true, ...changes });
  expect((await daemon.done(next)).result).toMatchObject({ hints: 'parent incomplete, read everything' });
});

test('the same in the format of Cinder', async () => {
  const daemon = await daemonForTest();
  const bytes = await badVolume(daemon);
  await daemon.call('repository.add', { name: 'c', url: `cinder+file://${daemon.folder}/cinder` });
  await daemon.call('repository.init', { name: 'c' });
  const started = await daemon.call('backup.create', { volume: 'v', repository: 'c', skip_errors: true });
  await daemon.done(started);
  const made = await daemon.call('backup.show', { backup: started.backup.id });
  expect(made.consistency_evidence?.unreadable?.ranges).toEqual(badRanges);
  await expectRestores(daemon, made.id, bytes);
});

test('a disk that has gone is no disk of bad sectors', async () => {
  const daemon = await daemonForTest();
  const device = mappedDevice(size, (_disk, sectors) => `0 ${sectors} error`);
  await daemon.addVolume('v', device.path);
  const started = daemon.call('backup.create', { volume: 'v', skip_errors: true });
  const job = await daemon.failed(started, 'SOURCE_READ_FAILED');
  expect(job.result?.['unreadable']).toBeUndefined();
});
