/** Groups of LVM in images, made by LVM itself without its kernel part: nothing is ever activated, and what is in a volume is written to
 *  where LVM says that it lies. */

import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

/** Runs LVM on these devices and on no others of this machine. */
export function lvm(devices: readonly string[], command: string, ...words: string[]): string {
  const filter = [...devices.map((device) => `"a|^${device}$|"`), '"r|.*|"'].join(',');
  const configuration = [
    `devices { filter = [${filter}] use_devicesfile = 0 hints = "none" }`,
    'activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }',
    'backup { backup = 0 archive = 0 }',
  ].join(' ');
  return execFileSync('lvm', [command, '--driverloaded', 'n', '--config', configuration, ...words], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

export const makeVolume = (
  devices: readonly string[],
  group: string,
  name: string,
  ...words: string[]
): string => lvm(devices, 'lvcreate', '-an', '-Zn', '-Wn', '-y', '-n', name, ...words, group);

/** Writes a file into a logical volume, stripe by stripe. */
export function fillVolume(devices: readonly string[], group: string, name: string, content: string): void {
  const bytes = readFileSync(content);
  const plain = ['--units', 'b', '--nosuffix', '--noheadings', '--separator', ';'];
  const starts = new Map(
    lvm(devices, 'pvs', ...plain, '-o', 'pv_name,pe_start')
      .trim()
      .split('\n')
      .map((row) => row.trim().split(';'))
      .map(([device, start]) => [device ?? '', Number(start)]),
  );
  const extentBytes = Number(lvm(devices, 'vgs', ...plain, '-o', 'vg_extent_size', group).trim());
  const rows = lvm(
    devices,
    'lvs',
    ...plain,
    '--segments',
    '-o',
    'seg_start,seg_size,stripe_size,devices',
    `${group}/${name}`,
  );
  for (const row of rows.trim().split('\n')) {
    const [start, size, stripe, places = ''] = row.trim().split(';');
    const stripes = places.split(',').map((place) => {
      const [, device = '', extent] = /^(.*)\((\d+)\)$/.exec(place) ?? [];
      return {
        file: openSync(device, 'r+'),
        offset: (starts.get(device) ?? 0) + Number(extent) * extentBytes,
      };
    });
    const step = Number(stripe) || Number(size);
    for (let at = 0; at < Number(size) && Number(start) + at < bytes.length; at += step) {
      const turn = at / step;
      const on = stripes[turn % stripes.length];
      if (on === undefined) throw new Error('a segment has no place');
      const piece = bytes.subarray(Number(start) + at, Number(start) + Math.min(at + step, Number(size)));
      writeSync(on.file, piece, 0, piece.length, on.offset + Math.floor(turn / stripes.length) * step);
    }
    for (const { file } of stripes) closeSync(file);
  }
}
