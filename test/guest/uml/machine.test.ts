/** The machine itself: an array with two ways to it, a map over them, a link that is cut, a number that leads to another volume. */

import { existsSync, readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { leftovers } from '../support/leftovers.ts';
import { cut, laidLinks, restore } from '../support/links.ts';
import { ArrayVolume, portals, Target } from '../support/lio.ts';
import { volumeGroup } from '../support/lvm.ts';
import { nbdServer } from '../support/nbd.ts';
import { settled, startIscsid, startMultipathd } from '../support/services.ts';

const MiB = 2 ** 20;

const states = (): string[] =>
  run('multipathd', 'show', 'paths', 'raw', 'format', '%T')
    .split('\n')
    .map((state) => state.trim())
    .filter((state) => state !== '');

function loggedIn(target: Target, lun: number): void {
  for (const portal of portals) {
    const node = ['--mode', 'node', '--targetname', target.iqn, '--portal', portal];
    run('iscsiadm', ...node, '--op', 'new');
    run('iscsiadm', ...node, '--op', 'update', '--name', 'node.session.scan', '--value', 'manual');
    run('iscsiadm', ...node, '--login');
    onTestFinished(() => void run('iscsiadm', ...node, '--op', 'delete'));
    onTestFinished(() => void run('iscsiadm', ...node, '--logout'));
  }
  run(
    'sh',
    '-c',
    `for host in /sys/class/iscsi_host/host*; do echo "0 0 ${lun}" >/sys/class/scsi_host/"\${host##*/}"/scan; done`,
  );
}

test('two paths make one map, which outlives a cut link, and nothing is left at the end', async () => {
  await startIscsid();
  await startMultipathd();
  laidLinks();
  const before = leftovers();
  onTestFinished(() => expect(leftovers()).toEqual(before));
  const volume = ArrayVolume.ofSize(32 * MiB);
  run('sh', '-c', `printf basalt | dd of=${volume.device} conv=fsync,notrunc status=none`);
  const other = ArrayVolume.ofSize(32 * MiB);
  const target = Target.start();
  target.addLun(3, volume);
  loggedIn(target, 3);
  const disk = await eventually(
    'a disk',
    () =>
      run('lsblk', '-nrdo', 'NAME,TRAN')
        .split('\n')
        .find((line) => line.endsWith(' iscsi'))
        ?.split(' ')[0],
  );
  settled();
  const wwid = run('/lib/udev/scsi_id', '--page=0x83', '--whitelisted', `--device=/dev/${disk}`);
  run('multipath', '-a', wwid);
  for (const name of leftovers().disks) run('multipathd', 'add', 'path', name);
  await eventually('two paths work', () => states().filter((state) => state === 'ready').length === 2);
  const map = `/dev/mapper/${wwid}`;
  await eventually('a map', () => existsSync(map));
  expect(readFileSync(map).subarray(0, 6).toString()).toBe('basalt');
  cut(0);
  expect(run('dd', `if=${map}`, 'iflag=direct', 'bs=1M', 'count=1', 'of=/dev/null', 'status=none')).toBe('');
  await eventually('one path has failed', () => states().includes('faulty'));
  restore(0);
  await eventually(
    'both paths work again',
    () => states().filter((state) => state === 'ready').length === 2,
    30_000,
  );
  target.remap(3, other);
  expect(run('/lib/udev/scsi_id', '--page=0x83', '--whitelisted', `--device=/dev/${disk}`)).not.toBe(wwid);
  run('multipath', '-f', wwid);
  run('multipath', '-w', wwid);
});

test('thick and thin volumes of LVM', () => {
  const group = volumeGroup(256 * MiB);
  for (const path of [group.thick('thick', 16 * MiB), group.thin('thin', 64 * MiB)])
    expect(run('blockdev', '--getsize64', path)).toMatch(/^\d+$/);
});

test('a server of NBD', async () => {
  const server = await nbdServer({ sizeBytes: 4 * MiB });
  expect(run('nbdinfo', '--size', server.url)).toBe(String(4 * MiB));
});
