/** Volume groups of a test, on loop devices: thick volumes, and a pool with thin ones.
 *  Promises: group, devices and file are gone when the test has finished. */

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { run } from '../../support/devices.ts';
import { modprobe } from './inside.ts';

let made = 0;

export interface VolumeGroup {
  readonly name: string;
  /** The device that it lies on. */
  readonly disk: string;
  /** A thick volume; its path. */
  thick(name: string, sizeBytes: number): string;
  /** A thin volume in the pool of the group, which is made at the first; its path. */
  thin(name: string, sizeBytes: number): string;
}

export interface GroupOptions {
  readonly poolBytes?: number;
  /** Its disk can be made to answer nobody, with dmsetup. */
  readonly stallable?: boolean;
}

function mapped(name: string, device: string, sizeBytes: number): string {
  // Shifted, so that LVM does not see its group on the device below, too.
  const [sectors, skipped] = [sizeBytes / 512, 2048];
  run('dmsetup', 'create', name, '--table', `0 ${sectors - skipped} linear ${device} ${skipped}`);
  onTestFinished(() => {
    run('dmsetup', 'resume', name);
    run('dmsetup', 'remove', '--retry', name);
  });
  return `/dev/mapper/${name}`;
}

export function volumeGroup(sizeBytes: number, options: GroupOptions = {}): VolumeGroup {
  modprobe('loop', 'dm_mod', 'dm_snapshot', 'dm_thin_pool');
  made += 1;
  const name = `group${made}`;
  const folder = mkdtempSync('/tmp/group-');
  const file = join(folder, 'disk');
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(file, '');
  truncateSync(file, sizeBytes);
  const loop = run('losetup', '--find', '--show', file);
  onTestFinished(() => void run('losetup', '--detach', loop));
  const disk = options.stallable === true ? mapped(`${name}disk`, loop, sizeBytes) : loop;
  run('vgcreate', '--quiet', name, disk);
  onTestFinished(() => void run('vgremove', '--quiet', '--force', '--yes', name));
  const poolBytes = options.poolBytes ?? Math.floor(sizeBytes / 2);
  let pool: string | undefined;
  return {
    name,
    disk,
    thick(volume, bytes) {
      run(
        'lvcreate',
        '--quiet',
        '--yes',
        '--wipesignatures',
        'n',
        '--size',
        `${bytes}b`,
        '--name',
        volume,
        name,
      );
      return `/dev/${name}/${volume}`;
    },
    thin(volume, bytes) {
      if (pool === undefined) {
        run(
          'lvcreate',
          '--quiet',
          '--yes',
          '--type',
          'thin-pool',
          '--zero',
          'n',
          '--size',
          `${poolBytes}b`,
          '--name',
          'pool',
          name,
        );
        pool = `${name}/pool`;
      }
      run('lvcreate', '--quiet', '--yes', '--thin', '--virtualsize', `${bytes}b`, '--name', volume, pool);
      return `/dev/${name}/${volume}`;
    },
  };
}
