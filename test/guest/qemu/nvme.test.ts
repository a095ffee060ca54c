/** The NVMe connector on a real kernel, with a real target: ways that are cut, volumes that change and grow, hosts that are not let in,
 *  and others that use the same subsystem. */

import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { nvme } from '../../../daemon/devices/connect/nvme/nvme.ts';
import { eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { noise } from '../../support/volume-model.ts';
import { Attachment } from '../support/attachment.ts';
import { modprobe } from '../support/inside.ts';
import { head, single, states } from '../support/iscsi-world.ts';
import { leftovers } from '../support/leftovers.ts';
import { bothLinks, cut, delay, restore, undelay } from '../support/links.ts';
import { nvmeArray, nvmeReady } from '../support/nvme-world.ts';
import { nvmePortals, nvmeVolume, Subsystem } from '../support/nvmet.ts';

const MiB = 2 ** 20;
const hostNqn = 'nqn.2026-01.test.basalt:host';

/** The name that the kernel shows of a disk, which may be another one's by now. */
function shownAt(device: string): string | undefined {
  const file = device.replace(/^\/dev\//, '/sys/block/').concat('/uuid');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}

/** Somebody of this host who is on the disk, until it is called off. */
function reader(device: string): () => Promise<void> {
  const open = openSync(device, 'r');
  const child = spawn('sleep', ['1000'], { stdio: [open, 'ignore', 'ignore'] });
  closeSync(open);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const end = async () => {
    child.kill();
    await ended;
  };
  onTestFinished(end);
  return end;
}

test('two ways to one disk, of which one is cut and comes back; a volume that grows', async () => {
  nvmeReady();
  const { subsystem, volume, url, bytes } = nvmeArray(8 * MiB);
  const attachment = new Attachment(nvme, url, { pathsMin: 2 });
  const attached = await attachment.attach();
  expect(attached.identity).toMatchObject({ names: [`uuid.${volume.uuid}`], sizeBytes: 8 * MiB });
  expect(states(attached)).toEqual(['active', 'active']);
  for (const { identity } of attached.paths) expect(identity).toEqual(attached.identity);
  expect(head(attached.device, 64)).toBe(bytes.subarray(0, 64).toString());
  expect(await attachment.observe()).toEqual({ ...attached, built: undefined });
  cut(0);
  await eventually(
    'the way has failed',
    async () => states(await attachment.observe()).includes('failed'),
    60_000,
  );
  expect(head(attached.device, 64)).toBe(bytes.subarray(0, 64).toString());
  restore(0);
  await eventually('it is back', async () => !states(await attachment.observe()).includes('failed'), 60_000);
  subsystem.grow(1, volume, 12 * MiB);
  expect((await attachment.rescan()).identity.sizeBytes).toBe(12 * MiB);
  await attachment.detach();
  await attachment.detach();
});

test('no such subsystem, no such namespace, a host that is not let in: each is said, and nothing is left', async () => {
  nvmeReady();
  const { subsystem, volume, url } = nvmeArray(4 * MiB);
  subsystem.allowOnly(hostNqn);
  const denied = new Attachment(nvme, url);
  await expect(denied.attach()).rejects.toMatchObject({
    code: 'ATTACH_FAILED',
    hint: expect.stringMatching(/lets the host "nqn\.2014-08\.org\.nvmexpress:uuid:[0-9a-f-]{36}" in/),
  });
  await denied.detach();
  const nowhere = subsystem.url('nsid=1').replace(subsystem.nqn, 'nqn.2026-01.test.basalt:none');
  const unknown = new Attachment(nvme, nowhere);
  await expect(unknown.attach()).rejects.toMatchObject({
    code: 'ATTACH_FAILED',
    hint: expect.stringContaining('has this subsystem'),
  });
  await unknown.detach();
  const none = new Attachment(nvme, subsystem.url(`nsid=7&hostnqn=${hostNqn}`), { scanAttempts: 0 });
  await expect(none.attach()).rejects.toMatchObject({
    code: 'ATTACH_FAILED',
    message: expect.stringContaining('the subsystem shows no such namespace to this host'),
  });
  await none.detach();
  const allowed = new Attachment(nvme, subsystem.url(`uuid=${volume.uuid}&hostnqn=${hostNqn}`));
  expect(states(await allowed.attach())).toEqual(['active', 'active']);
  await allowed.detach();
  run('modprobe', '--remove', 'nvme-tcp', 'nvme-fabrics');
  onTestFinished(() => modprobe('nvme-tcp'));
  const bare = new Attachment(nvme, url);
  await expect(bare.attach()).rejects.toMatchObject({ hint: expect.stringContaining('modprobe nvme_tcp') });
});

test('one portal is down: the other is enough where one is asked for, and the time for it is bounded', async () => {
  nvmeReady();
  const { url } = nvmeArray(4 * MiB);
  cut(1);
  const began = performance.now();
  const enough = new Attachment(nvme, url);
  expect(states(await enough.attach())).toEqual(['active', 'missing']);
  expect(performance.now() - began).toBeLessThan(60_000);
  restore(1);
  expect(states(await enough.rescan())).toEqual(['active', 'active']);
  await enough.detach();
});

test('a number that leads to another volume is seen before and after the kernel notices, and goes at the detach', async () => {
  nvmeReady();
  const { subsystem, volume, url } = nvmeArray(4 * MiB);
  const other = nvmeVolume(noise(4 * MiB, 2));
  const attachment = new Attachment(nvme, url);
  const { device } = await attachment.attach();
  // What the target tells the kernel is on its way for a while, and so is what the kernel asks because of it.
  for (const link of bothLinks) delay(link, 1_500);
  subsystem.remap(1, other);
  await expect(attachment.observe()).rejects.toMatchObject({
    code: 'WRONG_DEVICE',
    message: expect.stringContaining(`: it calls itself uuid.${other.uuid}`),
  });
  for (const link of bothLinks) undelay(link);
  await eventually('the kernel has noticed', () => shownAt(device) !== volume.uuid, 30_000);
  const said = expect.stringContaining(`: it calls itself uuid.${other.uuid}`);
  await expect(attachment.observe()).rejects.toMatchObject({ code: 'WRONG_DEVICE', message: said });
  await expect(attachment.rescan()).rejects.toMatchObject({ code: 'WRONG_DEVICE', message: said });
  await attachment.detach();
  const byNumber = new Attachment(nvme, subsystem.url('nsid=1'));
  expect((await byNumber.attach()).identity.names).toEqual([`uuid.${other.uuid}`]);
  await byNumber.detach();
  const both = new Attachment(nvme, subsystem.url(`uuid=${volume.uuid}&nsid=1`), { scanAttempts: 0 });
  await expect(both.attach()).rejects.toMatchObject({ code: 'WRONG_DEVICE' });
});

test('two namespaces of one subsystem: the first to go leaves the other alone, and the last takes all away', async () => {
  nvmeReady();
  const { subsystem, url, volume } = nvmeArray(4 * MiB);
  const second = nvmeVolume(noise(4 * MiB, 2));
  subsystem.show(2, second);
  const one = new Attachment(nvme, url);
  const two = new Attachment(nvme, subsystem.url(`uuid=${second.uuid}`));
  await one.attach();
  const { identity } = await two.attach();
  expect(identity.names).toEqual([`uuid.${second.uuid}`]);
  // The same namespace by another name is another attachment of the same controllers.
  const again = new Attachment(nvme, subsystem.url('nsid=1'));
  expect((await again.attach()).identity.names).toEqual([`uuid.${volume.uuid}`]);
  await one.detach();
  await again.detach();
  expect(states(await two.observe())).toEqual(['active', 'active']);
  await two.detach();
  expect(leftovers().controllers).toEqual([]);
});

test('a disk in use is not taken away; a controller of somebody else stays', async () => {
  nvmeReady();
  const { subsystem, url } = nvmeArray(4 * MiB);
  const attachment = new Attachment(nvme, url);
  const { device } = await attachment.attach();
  const end = reader(device);
  await expect(attachment.detach()).rejects.toMatchObject({
    code: 'DEVICE_BUSY',
    details: { used_by: [expect.stringMatching(/^process \d+ \(sleep\)$/)] },
  });
  expect(states(await attachment.observe())).toEqual(['active', 'active']);
  await end();
  await attachment.detach();
  expect(leftovers().controllers).toEqual([]);
  const { nqn } = subsystem;
  run('nvme', 'connect', '--transport=tcp', `--traddr=${nvmePortals[0]}`, '--trsvcid=4420', `--nqn=${nqn}`);
  onTestFinished(() => void run('nvme', 'disconnect', '--nqn', nqn));
  const [theirs] = leftovers().controllers;
  const hosted = run('cat', `/sys/class/nvme/${theirs}/hostnqn`);
  const beside = new Attachment(nvme, `${url}&hostnqn=${hosted}`);
  expect(states(await beside.attach())).toEqual(['active', 'active']);
  await beside.detach();
  expect(leftovers().controllers).toEqual([theirs]);
});

test('what came later is for somebody else: its controller stays, is found without a record, and goes once nobody is on it', async () => {
  nvmeReady();
  const subsystem = Subsystem.start();
  const [own, later] = [nvmeVolume(4 * MiB), nvmeVolume(4 * MiB)];
  subsystem.show(1, own);
  const [portal = ''] = nvmePortals;
  const attachment = new Attachment(nvme, subsystem.url('nsid=1', [portal]), single);
  await attachment.attach();
  subsystem.show(2, later);
  const shown = await eventually('the namespace came', () =>
    leftovers().disks.find((name) => /^nvme\d+n\d+$/.test(name) && name.endsWith('n2')),
  );
  const known = [attachment.built];
  expect(await nvme.leftovers?.(known, attachment.context)).toEqual([]);
  const end = reader(`/dev/${shown}`);
  await attachment.detach();
  expect(leftovers().controllers).toHaveLength(1);
  const [stray, ...more] = (await nvme.leftovers?.([], attachment.context)) ?? [];
  expect(more).toEqual([]);
  expect(stray?.what).toMatch(
    new RegExp(`^controller "nvme\\d+" to ${subsystem.nqn} at ${portal}:4420, with /dev/nvme\\d+n\\d+, `),
  );
  if (stray === undefined) throw new Error('no stray');
  await nvme.detach(stray.connection, stray.built, attachment.context);
  expect(leftovers().controllers).toHaveLength(1);
  await end();
  await nvme.detach(stray.connection, stray.built, attachment.context);
  expect(leftovers().controllers).toEqual([]);
});

test('all ways lost: readers get an error within the time that a controller has, and the detach leaves nothing', async () => {
  nvmeReady();
  const { url } = nvmeArray(4 * MiB);
  const attachment = new Attachment(nvme, url);
  const { device } = await attachment.attach();
  for (const link of bothLinks) cut(link);
  const began = performance.now();
  expect(() => head(device, 1)).toThrow();
  expect(performance.now() - began).toBeLessThan(90_000);
  await expect(attachment.observe()).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
  await attachment.detach();
});
