/** The machine itself: systemd and its units, and an NVMe array with two ways to one disk. */

import { readdirSync, readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { nvmeArray } from '../support/nvme-world.ts';
import { nvmePortals } from '../support/nvmet.ts';

test('the daemons of storage are units of systemd', () => {
  const units = run('systemctl', 'is-active', 'iscsid.socket', 'multipathd.service').split('\n');
  expect(units).toEqual(['active', 'active']);
});

test('two ways lead to one disk of an NVMe array', async () => {
  const { subsystem, volume } = nvmeArray(4 * 2 ** 20);
  const { nqn } = subsystem;
  onTestFinished(() => void run('nvme', 'disconnect', '--nqn', nqn));
  for (const address of nvmePortals)
    run('nvme', 'connect', '--transport=tcp', `--traddr=${address}`, '--trsvcid=4420', `--nqn=${nqn}`);
  const isOurs = (name: string): boolean =>
    /^nvme\d+n\d+$/.test(name) && readFileSync(`/sys/block/${name}/uuid`, 'utf8').trim() === volume.uuid;
  const disk = await eventually('the disk', () => readdirSync('/sys/block').find(isOurs), 60_000);
  expect(run('blockdev', '--getsize64', `/dev/${disk}`)).toBe(String(4 * 2 ** 20));
  expect(readdirSync('/sys/class/nvme').length).toBe(2);
});
