/** Block devices that fail as told, made with device-mapper over a loop device.
 *  Promises: devices and file are gone when the test has finished. */

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { run } from '../../support/devices.ts';
import { modprobe } from './inside.ts';

export const sectorBytes = 512;

let made = 0;

export interface MappedDevice {
  /** "/dev/mapper/…" */
  readonly path: string;
  readonly name: string;
  /** What lies under it: its bytes without any failures. */
  readonly disk: string;
  /** Puts another table in the place of the present one, at once and for everybody who has it open. */
  load(table: string): void;
  message(...words: readonly string[]): void;
}

/** `table`: made for the disk and its number of sectors. */
export function mappedDevice(
  sizeBytes: number,
  table: (disk: string, sectors: number) => string,
): MappedDevice {
  modprobe('loop', 'dm_mod', 'dm_dust', 'dm_flakey', 'dm_delay');
  made += 1;
  const name = `mapped${made}`;
  const folder = mkdtempSync('/tmp/mapped-');
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'disk');
  writeFileSync(file, '');
  truncateSync(file, sizeBytes);
  const disk = run('losetup', '--find', '--show', file);
  onTestFinished(() => void run('losetup', '--detach', disk));
  run('dmsetup', 'create', name, '--table', table(disk, sizeBytes / sectorBytes));
  onTestFinished(() => void run('dmsetup', 'remove', '--retry', name));
  return {
    path: `/dev/mapper/${name}`,
    name,
    disk,
    load: (text) => {
      run('dmsetup', 'suspend', '--noflush', '--nolockfs', name);
      run('dmsetup', 'load', name, '--table', text);
      run('dmsetup', 'resume', name);
    },
    message: (...words) => void run('dmsetup', 'message', name, '0', ...words),
  };
}

/** A disk some of whose sectors can't be read, by their numbers. */
export function diskWithBadSectors(sizeBytes: number, sectors: readonly number[]): MappedDevice {
  const device = mappedDevice(sizeBytes, (disk, count) => `0 ${count} dust ${disk} 0 ${sectorBytes}`);
  for (const sector of sectors) device.message('addbadblock', String(sector));
  device.message('enable');
  return device;
}
