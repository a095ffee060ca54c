/** The machine itself: systemd and its units, and an NVMe array with two ways to one disk. */

import { readdirSync, readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { subsystem } from '../support/nvmet.ts';

test('the daemons of storage are units of systemd', () => {
  const units = run('systemctl', 'is-active', 'iscsid.socket', 'multipathd.service').split('\n');
  expect(units).toEqual(['active', 'active']);
});

test('two ways lead to one disk of an NVMe array', async () => {
  const { nqn, uuid, portals } = subsystem(16 * 2 ** 20);
  onTestFinished(() => void run('nvme', 'disconnect', '--nqn', nqn));
  for (const { address, port } of portals)
    run('nvme', 'connect', '--transport=tcp', `--traddr=${address}`, `--trsvcid=${port}`, `--nqn=${nqn}`);
  const isOurs = (name: string): boolean =>
    /^nvme\d+n\d+$/.test(name) && readFileSync(`/sys/block/${name}/uuid`, 'utf8').trim() === uuid;
  const disk = await eventually('the disk', () => readdirSync('/sys/block').find(isOurs), 60_000);
  expect(run('blockdev', '--getsize64', `/dev/${disk}`)).toBe(String(16 * 2 ** 20));
  expect(readdirSync('/sys/class/nvme').length).toBe(2);
});
