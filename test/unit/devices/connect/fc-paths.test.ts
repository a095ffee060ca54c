/** Fibre Channel: what happens to paths while a volume is attached, on a simulated tree of sysfs. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fc } from '../../../../daemon/devices/connect/fc/fc.ts';
import { SimulatedHost, type Unit } from './simulated-fc.ts';

const [ours, ours2] = ['21000024ff000001', '21000024ff000002'] as const;
const [a, b] = ['500a098280feeba5', '500a098290feeba5'] as const;
const unit = (name = 'naa.600a09803', sizeBytes = 2 ** 24): Unit => ({ names: [name], sizeBytes });

/** A volume that is attached over one port, at unit 1. */
async function attachedByOnePort() {
  const host = new SimulatedHost();
  host.port(3, ours);
  const target = { host: 3, wwpn: a, target: 0, units: new Map([[1, unit()]]) };
  host.remote(target);
  const connection = fc.parseUrl(`fc://${a}/1`);
  const { built } = await fc.attach(connection, host.context());
  return { host, target, connection, built };
}

test('a path is lost and comes back; one that its fabric calls marginal is used', async () => {
  const host = new SimulatedHost();
  host.port(3, ours);
  host.port(4, ours2);
  const [shared, second] = [unit(), { host: 4, wwpn: b, target: 0, units: new Map([[1, unit()]]) }];
  host.remote({ host: 3, wwpn: a, target: 0, units: new Map([[1, shared]]) }, undefined, 'Marginal');
  host.remote(second);
  const context = host.context();
  const connection = fc.parseUrl(`fc://${a},${b}/1`);
  const { built, paths } = await fc.attach(connection, context);
  const states = (all: typeof paths) => all.map(({ state }) => state);
  expect(states(paths)).toEqual(['active', 'active']);
  host.lose(second);
  expect(states((await fc.observe(connection, built, context)).paths)).toEqual(['active', 'missing']);
  expect(states((await fc.rescan(connection, built, context)).paths)).toEqual(['active', 'missing']);
  host.return(second);
  expect(states((await fc.observe(connection, built, context)).paths)).toEqual(['active', 'active']);
  // Without a rescan in between, and although the kernel has brought the disk back by itself.
  await fc.detach(connection, built, context);
  expect(host.disks).toEqual([]);
});

test('a disk that has come back is taken away after a rescan, too', async () => {
  const { host, target, connection, built } = await attachedByOnePort();
  host.lose(target);
  await expect(fc.observe(connection, built, host.context())).rejects.toMatchObject({
    code: 'DEVICE_FAILED',
  });
  host.return(target);
  const again = await fc.rescan(connection, built, host.context());
  await fc.detach(connection, again.built, host.context());
  expect(host.disks).toEqual([]);
});

test('what has come back as another volume is not ours, and neither is what somebody uses', async () => {
  const { host, target, connection, built } = await attachedByOnePort();
  host.lose(target);
  target.units.set(1, unit('naa.600a0999'));
  host.return(target);
  await expect(fc.observe(connection, built, host.context())).rejects.toMatchObject({ code: 'WRONG_DEVICE' });
  await expect(fc.rescan(connection, built, host.context())).rejects.toMatchObject({ code: 'WRONG_DEVICE' });
  await fc.detach(connection, built, host.context());
  expect(host.disks).toEqual(['sdb']);
  host.lose(target);
  target.units.set(1, unit());
  host.return(target);
  mkdirSync(join(host.sys, 'block/sdc/holders/dm-0'));
  await fc.detach(connection, built, host.context());
  expect(host.disks).toEqual(['sdc']);
});

test('a number that leads to another volume is noticed by every look', async () => {
  const { host, target, connection, built } = await attachedByOnePort();
  target.units.set(1, unit('naa.600a0999'));
  await expect(fc.observe(connection, built, host.context())).rejects.toMatchObject({ code: 'WRONG_DEVICE' });
  await expect(fc.rescan(connection, built, host.context())).rejects.toMatchObject({ code: 'WRONG_DEVICE' });
  // For whoever comes next the disk is a leftover that the kernel takes for the old volume.
  const next = await fc.attach(connection, host.context());
  expect(next.identity.names).toEqual(['naa.600a0999']);
  expect(host.disks).toEqual(['sdb']);
});

test('disks behind a port that has left the fabric for a while are taken away all the same', async () => {
  const { host, connection, built } = await attachedByOnePort();
  writeFileSync(join(host.sys, 'class/fc_remote_ports/rport-3:0-0/port_state'), 'Blocked\n');
  await fc.detach(connection, built, host.context());
  expect(host.disks).toEqual([]);
});

test('a volume that grew shows its new size after a rescan', async () => {
  const host = new SimulatedHost();
  host.port(3, ours);
  const grown = unit();
  host.remote({ host: 3, wwpn: a, target: 0, units: new Map([[1, grown]]) });
  const connection = fc.parseUrl(`fc://${a}/1`);
  const attached = await fc.attach(connection, host.context());
  grown.sizeBytes = 2 ** 25;
  const after = await fc.rescan(connection, attached.built, host.context());
  expect(after.identity.sizeBytes).toBe(2 ** 25);
  expect(host.orders).toContain('class/scsi_device/3:0:0:1/device/rescan 1');
});
