/** What a host lacks, by the words of the programs of Debian 12 on one that lacks it, and the line that mends it. */

import { expect, test } from 'vitest';
import { packageNeeds } from '../../../../daemon/devices/connect/packages.ts';
import { installing, remedyIn } from '../../../../daemon/devices/connect/remedies.ts';
import { tooFew } from '../../../../daemon/devices/connect/scsi/assemble.ts';
import { NoWay, troubleOf } from '../../../../daemon/devices/connect/scsi/bring.ts';
import { systemTools } from '../../../../daemon/devices/connect/tools.ts';
import { multipathMissing, toolMissing } from '../../../../daemon/devices/connect/trouble.ts';

test.each([
  ['iscsiadm: initiator reported error (20 - could not connect to iscsid)', 'systemctl start iscsid'],
  [
    'iscsiadm: iscsid is not running. Could not start it up automatically\niscsiadm: can not connect to iSCSI daemon (111)!',
    'systemctl start iscsid',
  ],
  [
    'iscsiadm: initiator reported error (12 - iSCSI driver not found. Please make sure it is loaded, and retry the operation)',
    'modprobe iscsi_tcp',
  ],
  ['iscsiadm: iSCSI driver tcp is not loaded. Load the module then retry the command.', 'modprobe iscsi_tcp'],
  ['Failed to open /dev/nvme-fabrics: No such file or directory', 'modprobe nvme_tcp'],
  ['/dev/mapper/control: open failed: No such device', 'modprobe dm_mod'],
  ['  snapshot: Required device-mapper target(s) not detected in your kernel.', 'modprobe dm_snapshot'],
  ['  thin: Required device-mapper target(s) not detected in your kernel.', 'modprobe dm_thin_pool'],
  ["fuse: device not found, try 'modprobe fuse' first", 'modprobe fuse'],
  ["mount: /x: unknown filesystem type 'nfs4'.", 'modprobe nfs'],
  ['mount.nfs: No such device', 'modprobe nfs'],
  ['  Volume group "nogroup" not found\n  Cannot process volume group nogroup', 'vgs'],
])('%j', (said, command) => {
  expect(remedyIn(said)).toMatch(new RegExp(`: ${command}$`));
});

test('what may have many causes has no remedy', () => {
  for (const said of ['', 'Connection refused', 'initiator reported error (8 - connection timed out)'])
    expect(remedyIn(said)).toBeUndefined();
});

test('each program that a connector runs can be installed by a line', () => {
  for (const [name, { programs }] of Object.entries(packageNeeds))
    for (const program of programs) expect(toolMissing(program).hint).toBe(`Install it: apt install ${name}`);
  expect(installing('mount.glusterfs')).toBe('Install it: apt install glusterfs-client');
  // Of a program that nobody knows the package of, the table of faults has to do.
  expect(toolMissing('nothing-like-it').hint).toContain('docs/devices.md');
});

test('a program that fails for a known reason is told with what mends it', async () => {
  const script = 'echo "iscsiadm: can not connect to iSCSI daemon (111)!" >&2; exit 20';
  await expect(systemTools.output('sh', ['-c', script])).rejects.toMatchObject({
    code: 'TOOL_FAILED',
    hint: 'Start it: systemctl start iscsid',
  });
  await expect(systemTools.output('false', [])).rejects.toMatchObject({
    hint: expect.stringContaining('log'),
  });
});

test('of several portals that lack the same thing it is told once, and others keep the general hint', () => {
  const down = new NoWay('iscsid does not run', false, 'Start it: systemctl start iscsid');
  const troubles = [
    troubleOf('a', down),
    troubleOf('b', down),
    troubleOf('c', new NoWay('nobody listens there')),
  ];
  expect(tooFew('u', 0, 1, troubles)).toMatchObject({ hint: 'Start it: systemctl start iscsid' });
  expect(tooFew('u', 0, 1, troubles.slice(2))).toMatchObject({ hint: expect.stringContaining('network') });
  expect(tooFew('u', 0, 1, [troubleOf('a', toolMissing('iscsiadm'))])).toMatchObject({
    hint: 'Install it: apt install open-iscsi',
  });
  expect(
    multipathMissing('u', 'multipathd does not run', 'Start it: systemctl start multipathd').hint,
  ).toMatch(/^Start it: systemctl start multipathd; or set enforce_multipath to false/);
});
