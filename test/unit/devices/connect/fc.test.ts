/** Fibre Channel: parsing, and the walk from names of ports to disks on a simulated tree of sysfs. */

import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { Built } from '../../../../daemon/devices/connect/connector.ts';
import { fc } from '../../../../daemon/devices/connect/fc/fc.ts';
import type { Tools } from '../../../../daemon/devices/connect/tools.ts';
import { SimulatedHost, type Unit } from './simulated-fc.ts';

const [ours, ours2] = ['21000024ff000001', '21000024ff000002'] as const;
const [a, b] = ['500a098280feeba5', '500a098290feeba5'] as const;
const unit = (name = 'naa.600a09803', sizeBytes = 2 ** 24): Unit => ({ names: [name], sizeBytes });

test('a URL is read and written back', () => {
  const text = `fc://${a},${b}/5?map=${ours}-${a},${ours2}-${b}`;
  expect(fc.format(fc.parseUrl(text))).toBe(text);
  expect(fc.format(fc.parseUrl(`FC://50:0A:09:82:80:FE:EB:A5/300?addressing=SAM2`))).toBe(
    `fc://${a}/300?addressing=SAM3-flat`,
  );
});

test.each([
  'fc://500a/1',
  `fc://${a}`,
  `fc://${a}/70000`,
  `fc://${a}/1?other=1`,
  `fc://${a}/1?wildcard=maybe`,
  `fc://${a}/x`,
  `fc://${a},${b}/1?map=${ours}-${a}`,
  `fc://${a}/1?map=${ours}-${a},${ours}-${b}`,
])('%s is refused', (text) => {
  expect(() => fc.parseUrl(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
});

test('more ports than a storage has are refused before they are looked at', () => {
  const many = Array.from({ length: 65 }, (_, at) => (0x500a0982n * 2n ** 32n + BigInt(at)).toString(16));
  const info = { target_wwns: many, target_lun: 1 };
  expect(() => fc.parseUrl(`fc://${many.join(',')}/1`)).toThrow('it has 65 ports');
  expect(() => fc.parseInfo(info, { driverType: 'fibre_channel' })).toThrow('it has 65 ports');
});

test('of a connection_info the map of initiators decides which ports are used', () => {
  const data = {
    target_discovered: true,
    target_wwn: [a.toUpperCase(), b, '500a0982a0feeba5'],
    target_lun: 2,
    initiator_target_map: { [ours.toUpperCase()]: [a], [ours2]: [b] },
    access_mode: 'rw',
  };
  expect(fc.format(fc.parseInfo(data, { driverType: 'fibre_channel' }))).toBe(
    `fc://${a},${b}/2?map=${ours}-${a},${ours2}-${b}`,
  );
  const luns = fc.parseInfo({ target_wwns: [a, b], target_luns: [3, 4] }, { driverType: 'fibre_channel' });
  expect(fc.key(luns)).toBe(`${a}/3 ${b}/4`);
  const twice = { target_wwns: [a, `0x${a}`, a], target_luns: [3, 3, 4] };
  expect(fc.key(fc.parseInfo(twice, { driverType: 'fibre_channel' }))).toBe(`${a}/3 ${a}/4`);
  for (const bad of [
    { target_wwns: [a, b], target_luns: [3] },
    { target_wwn: a },
    { target_lun: 1 },
    { target_wwn: 'x', target_lun: 1 },
    { target_wwn: a, target_lun: 2.5 },
  ])
    expect(() => fc.parseInfo(bad, { driverType: 'fibre_channel' })).toThrow();
  expect(() => fc.parseInfo({ target_lun: 1 }, { driverType: 'fibre_channel' })).toThrow(
    'it has no target_wwn',
  );
});

test('the exact unit is scanned on each port that sees the target, and taken away again', async () => {
  const host = new SimulatedHost();
  host.port(3, ours);
  host.port(4, ours2);
  host.port(5, '21000024ff000003', 'Linkdown');
  const shared = unit();
  host.remote({
    host: 3,
    wwpn: a,
    target: 2,
    units: new Map([
      [1, shared],
      [2, unit('naa.other')],
    ]),
  });
  host.remote({ host: 4, wwpn: b, target: 0, units: new Map([[1, shared]]) });
  const journal: unknown[] = [];
  const context = host.context({ journal: async (built) => void journal.push(structuredClone(built)) });
  const connection = fc.parseUrl(`fc://${a},${b}/1`);
  const attached = await fc.attach(connection, context);
  // Both ports at a time.
  expect(host.orders.filter((order) => order.includes('scan')).sort()).toEqual([
    'class/scsi_host/host3/scan 0 2 1',
    'class/scsi_host/host4/scan 0 0 1',
  ]);
  expect(attached.identity.names).toEqual(['naa.600a09803']);
  expect(attached.paths.map(({ via, state }) => `${via}: ${state}`)).toEqual([
    `${ours} to ${a} lun 1: active`,
    `${ours2} to ${b} lun 1: active`,
  ]);
  expect(context.notes.join('\n')).toContain('going on with one path: multipath-tools is not installed');
  const seen = await fc.observe(connection, attached.built, context);
  expect(seen.device).toBe(attached.device);
  const ways = (await fc.paths?.(connection, attached.built, context)) ?? [];
  expect(ways.map(({ device }) => device).sort()).toEqual(
    seen.paths.flatMap(({ device }) => (device === null ? [] : [device])).sort(),
  );
  shared.names = ['naa.another'];
  for (const way of ways) expect(await way.ask()).toEqual({ names: ['naa.another'], serial: null });
  shared.names = ['naa.600a09803'];
  await fc.detach(connection, attached.built, context);
  expect(host.disks).toEqual([]);
  await fc.detach(connection, attached.built, context);
  expect(journal.length).toBeGreaterThan(2);
});

test('paths to different volumes are refused, and nothing of it stays', async () => {
  const host = new SimulatedHost();
  host.port(3, ours);
  host.remote({ host: 3, wwpn: a, target: 0, units: new Map([[1, unit('naa.one')]]) });
  host.remote({ host: 3, wwpn: b, target: 1, units: new Map([[1, unit('naa.two')]]) });
  let built = {};
  const context = host.context({ journal: async (now) => void (built = now) });
  const connection = fc.parseUrl(`fc://${a},${b}/1`);
  await expect(fc.attach(connection, context)).rejects.toMatchObject({ code: 'WRONG_DEVICE' });
  expect(host.disks).toHaveLength(2);
  await fc.detach(connection, built, context);
  expect(host.disks).toEqual([]);
});

test('killed before the number of its disk was seen, it takes away the disk there, but not one that is in use', async () => {
  const host = new SimulatedHost();
  host.port(3, ours);
  host.remote({ host: 3, wwpn: a, target: 0, units: new Map([[1, unit()]]) });
  const journal: Built[] = [];
  const context = host.context({ journal: async (built) => void journal.push(structuredClone(built)) });
  const connection = fc.parseUrl(`fc://${a}/1`);
  const { device, built: whole } = await fc.attach(connection, context);
  const cutOff = journal.find((built) => JSON.stringify(built).includes('"made":true,"sequence":null'));
  if (cutOff === undefined) throw new Error('it scans before it has said so');
  // Somebody has scanned for the same unit, and opened it.
  mkdirSync(dirname(device), { recursive: true });
  writeFileSync(device, '');
  const opened = openSync(device, 'r');
  const other = spawn('sleep', ['60'], { stdio: [opened, 'ignore', 'ignore'] });
  onTestFinished(() => void other.kill('SIGKILL'));
  closeSync(opened);
  await expect(fc.detach(connection, whole, context)).rejects.toMatchObject({ code: 'DEVICE_BUSY' });
  await fc.detach(connection, cutOff, context);
  expect(host.disks).toEqual(['sda']);
  expect(context.notes.at(-1)).toContain('stays: it was perhaps not made here');
  const ended = new Promise((resolve) => other.once('exit', resolve));
  other.kill('SIGKILL');
  await ended;
  rmSync(device);
  await fc.detach(connection, cutOff, context);
  expect(host.disks).toEqual([]);
}, 40_000);

test('a disk that was there before is used and left', async () => {
  const host = new SimulatedHost();
  host.port(3, ours);
  host.remote({ host: 3, wwpn: a, target: 0, units: new Map([[1, unit()]]) });
  await host.probe.order(`${host.sys}/class/scsi_host/host3/scan`, '0 0 1');
  const connection = fc.parseUrl(`fc://${a}/1`);
  const attached = await fc.attach(connection, host.context());
  await fc.detach(connection, attached.built, host.context());
  expect(host.disks).toEqual(['sda']);
});

test('a disk that somebody is just scanning for is waited for and left; a unit that never gets one is scanned anew', async () => {
  const host = new SimulatedHost();
  host.port(3, ours);
  host.remote({ host: 3, wwpn: a, target: 0, units: new Map([[1, unit()]]) });
  const finish = host.halfScanned('3:0:0:1');
  const connection = fc.parseUrl(`fc://${a}/1`);
  const attaching = fc.attach(connection, host.context());
  await pause(300);
  finish();
  const attached = await attaching;
  await fc.detach(connection, attached.built, host.context());
  expect(host.disks).toEqual(['sda']);
  expect(host.orders.filter((order) => !order.endsWith('rescan 1'))).toEqual([]);
  await host.probe.order(`${host.sys}/class/scsi_device/3:0:0:1/device/delete`, '1');
  host.halfScanned('3:0:0:1');
  const anew = await fc.attach(connection, host.context());
  await fc.detach(connection, anew.built, host.context());
  expect(host.disks).toEqual([]);
});

test('a map of ours that a path of somebody else has joined is left to him', async () => {
  const host = new SimulatedHost();
  host.port(3, ours);
  host.remote({ host: 3, wwpn: a, target: 0, units: new Map([[1, unit()]]) });
  const connection = fc.parseUrl(`fc://${a}/1`);
  const { built } = await fc.attach(connection, host.context());
  host.map('3600a09803', ['sda', 'sdz']);
  const run: string[] = [];
  const tools: Tools = {
    run: async (program, words) => {
      run.push([program, ...words].join(' '));
      const left = words.join(' ') === 'del path sda';
      if (left) rmSync(join(host.sys, 'block/sda/holders/dm-0'));
      return { status: 0, stdout: 'ok', stderr: '', timedOut: false, complaint: '' };
    },
    output: async () => '',
    find: async (program) => `/sbin/${program}`,
  };
  const map = { wwid: '3600a09803', made: true, added: true };
  await fc.detach(connection, { ...built, map }, host.context({ tools }));
  expect(host.disks).toEqual([]);
  expect(run).toContain('multipathd restorequeueing map 3600a09803');
  expect(run.filter((line) => /multipath -f|del map|disablequeueing/.test(line))).toEqual([]);
});

test('all targets are scanned only where that was asked for, and what comes in of others goes again', async () => {
  const host = new SimulatedHost();
  host.port(3, ours);
  // The driver tells of its target only when it has found a unit there.
  const target = { host: 3, wwpn: a, target: 7, units: new Map([[1, unit()]]) };
  host.targets.push(target, { host: 3, wwpn: b, target: 8, units: new Map([[1, unit('naa.other')]]) });
  const asked = fc.parseUrl(`fc://${a}/1`);
  await expect(fc.attach(asked, host.context())).rejects.toMatchObject({ code: 'ATTACH_FAILED' });
  expect(host.orders).toEqual([]);
  const probe = {
    ...host.probe,
    order: async (file: string, text: string) => {
      await host.probe.order(file, text);
      if (text.startsWith('-')) host.remote(target, 'fc_transport');
    },
  };
  const wide = fc.parseUrl(`fc://${a}/1?wildcard=yes`);
  let built = {};
  const context = host.context({ probe, journal: async (now) => void (built = now) });
  const attached = await fc.attach(wide, context);
  expect(attached.identity.names).toEqual(['naa.600a09803']);
  expect(host.disks.map((name) => host.addressOf(name))).toEqual(['3:0:7:1']);
  await fc.detach(wide, built, context);
  expect(host.disks).toEqual([]);
});

test('a target that is known is not searched for among all others, and no port that has no part in it is', async () => {
  const host = new SimulatedHost();
  for (const [at, name] of [ours, ours2, '21000024ff000003'].entries()) host.port(at + 3, name);
  host.remote({ host: 3, wwpn: a, target: 0, units: new Map([[2, unit()]]) });
  const context = host.context();
  const wide = fc.parseUrl(`fc://${a}/1?wildcard=yes&map=${ours}-${a},${ours2}-${a}`);
  await expect(fc.attach(wide, context)).rejects.toThrow('shows no unit 1');
  expect(host.orders).toEqual([
    'class/scsi_host/host3/scan 0 0 1',
    'class/scsi_host/host4/scan - - 1',
    'class/scsi_host/host3/scan 0 0 1',
  ]);
});

test('our ports are part of what is asked for: one number may mean two volumes to two of them', () => {
  const keys = [
    `fc://${a}/1`,
    `fc://${a}/1?map=${ours}-${a}`,
    `fc://${a}/1?map=${ours2}-${a}`,
    `fc://${a}/1?map=${ours2}-${a},${ours}-${a}`,
  ].map((text) => fc.key(fc.parseUrl(text)));
  expect(new Set(keys).size).toBe(4);
  const swapped = `fc://0x${a.toUpperCase()}/1?map=${ours}-${a},${ours2}-${a}`;
  expect(fc.key(fc.parseUrl(swapped))).toBe(keys[3]);
});

test('a wide scan takes away nothing that another agent brings in meanwhile', async () => {
  const host = new SimulatedHost();
  host.port(3, ours);
  const target = { host: 3, wwpn: a, target: 7, units: new Map([[1, unit()]]) };
  const other = new Map([
    [1, unit('naa.other')],
    [2, unit('naa.another')],
  ]);
  host.targets.push(target, { host: 3, wwpn: b, target: 8, units: other });
  const probe = {
    ...host.probe,
    order: async (file: string, text: string) => {
      await host.probe.order(file, text);
      if (!text.startsWith('-')) return;
      await host.probe.order(file, '0 8 2');
      host.remote(target, 'fc_transport');
    },
  };
  const context = host.context({ probe });
  await fc.attach(fc.parseUrl(`fc://${a}/1?wildcard=yes`), context);
  expect(host.disks.map((name) => host.addressOf(name))).toEqual(['3:0:7:1', '3:0:8:2']);
});

test('a port of the storage that has left the fabric is not reached; no port of ours at all is said', async () => {
  const host = new SimulatedHost();
  const connection = fc.parseUrl(`fc://${a}/1`);
  await expect(fc.attach(connection, host.context())).rejects.toThrow(
    'no Fibre Channel port of this host is online',
  );
  host.port(3, ours);
  host.remote(
    { host: 3, wwpn: a, target: 0, units: new Map([[1, unit()]]) },
    'fc_remote_ports',
    'Not Present',
  );
  await expect(fc.attach(connection, host.context())).rejects.toThrow('the target is not reached');
});

test('without multipath an enforced attach fails as such', async () => {
  const host = new SimulatedHost();
  host.port(3, ours);
  host.remote({ host: 3, wwpn: a, target: 0, units: new Map([[1, unit()]]) });
  const { policy } = host.context();
  const context = host.context({ policy: { ...policy, enforceMultipath: true } });
  await expect(fc.attach(fc.parseUrl(`fc://${a}/1`), context)).rejects.toMatchObject({
    code: 'MULTIPATH_MISSING',
  });
});
