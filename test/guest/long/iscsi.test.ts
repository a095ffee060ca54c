/** The iSCSI connector where arrays, links and other users of sessions misbehave, or volumes grow. */

import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { iscsi } from '../../../daemon/devices/connect/iscsi/iscsi.ts';
import { eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { Attachment } from '../support/attachment.ts';
import { head, initiatorReady, marked, nothingLeft, single, states } from '../support/iscsi-world.ts';
import { leftovers } from '../support/leftovers.ts';
import { cut, restore } from '../support/links.ts';
import { ArrayVolume, portals, Target } from '../support/lio.ts';

const MiB = 2 ** 20;

beforeAll(initiatorReady);

test('a portal that nobody listens at costs seconds, and one path is enough where one is asked for', async () => {
  nothingLeft();
  const volume = ArrayVolume.ofSize(16 * MiB);
  const target = Target.start({ links: [0] });
  target.addLun(0, volume);
  const url = `iscsi://${portals.join(',')}/${target.iqn}/0`;
  const enough = new Attachment(iscsi, url);
  const began = performance.now();
  const attached = await enough.attach();
  expect(performance.now() - began).toBeLessThan(60_000);
  expect(states(attached)).toEqual(['active', 'missing']);
  await enough.detach();
  const few = new Attachment(iscsi, url, { pathsMin: 2 });
  await expect(few.attach()).rejects.toMatchObject({
    code: 'ATTACH_FAILED',
    message: expect.stringMatching(/1 of its paths work, and at least 2 are wanted.*10\.77\.1\.2:3260/),
  });
  await few.detach();
});

test('no such number, no such target: said within bounds, nothing left', async () => {
  nothingLeft();
  const volume = ArrayVolume.ofSize(16 * MiB);
  const target = Target.start();
  target.addLun(0, volume);
  const none = new Attachment(iscsi, `iscsi://${portals[0]}/${target.iqn}/7`, { ...single, scanAttempts: 2 });
  await expect(none.attach()).rejects.toMatchObject({
    code: 'ATTACH_FAILED',
    message: expect.stringContaining('the target shows no unit 7 to this host'),
  });
  await none.detach();
  const unknown = new Attachment(iscsi, `iscsi://${portals[0]}/iqn.2026-01.basalt.test:none/0`, single);
  await expect(unknown.attach()).rejects.toMatchObject({ code: 'ATTACH_FAILED' });
  await unknown.detach();
});

test('discovery finds the other portal, and leaves no record of other targets', async () => {
  nothingLeft();
  const another = ArrayVolume.ofSize(16 * MiB);
  const other = Target.start();
  other.addLun(0, another);
  const volume = ArrayVolume.ofSize(16 * MiB);
  const target = Target.start();
  target.addLun(0, volume);
  const attachment = new Attachment(iscsi, `iscsi://${portals[0]}/${target.iqn}/0?discover=yes`, {
    pathsMin: 2,
  });
  expect(states(await attachment.attach())).toEqual(['active', 'active']);
  expect(readdirSync('/etc/iscsi/nodes')).toEqual([target.iqn]);
  expect(readdirSync('/etc/iscsi/send_targets')).toEqual([]);
  await attachment.detach();
});

test('a volume that has grown, with both paths and with one of them down', async () => {
  nothingLeft();
  const volume = ArrayVolume.ofSize(16 * MiB);
  const target = Target.start();
  target.addLun(0, volume);
  const attachment = new Attachment(iscsi, `iscsi://${portals.join(',')}/${target.iqn}/0`);
  await attachment.attach();
  volume.grow(24 * MiB);
  const grown = await attachment.rescan();
  expect(grown.identity.sizeBytes).toBe(24 * MiB);
  expect(run('blockdev', '--getsize64', grown.device)).toBe(String(24 * MiB));
  cut(1);
  for (const _ of [0, 1]) head(grown.device, 6);
  volume.grow(32 * MiB);
  const half = await attachment.rescan();
  expect(half.identity.sizeBytes).toBe(24 * MiB);
  restore(1);
  await eventually('it is back', async () => !states(await attachment.observe()).includes('failed'), 30_000);
  expect((await attachment.rescan()).identity.sizeBytes).toBe(32 * MiB);
  await attachment.detach();
});

test('sessions and records of others stay; those of ours end with the last disk on them', async () => {
  nothingLeft();
  const volumes = [0, 1, 2].map(() => ArrayVolume.ofSize(16 * MiB));
  const target = Target.start();
  for (const [lun, volume] of volumes.entries()) target.addLun(lun, volume);
  const node = ['-m', 'node', '-T', target.iqn, '-p', portals[0] ?? ''];
  run('iscsiadm', ...node, '-o', 'new');
  run('iscsiadm', ...node, '-o', 'update', '-n', 'node.session.scan', '-v', 'manual');
  const record = () => readFileSync(`/etc/iscsi/nodes/${target.iqn}/10.77.0.2,3260`, 'utf8');
  const before = record();
  const url = (lun: number) => `iscsi://${portals.join(',')}/${target.iqn}/${lun}`;
  const sessions = () => leftovers().sessions.length;
  // A record without a session: put back. A session over the other portal: ours.
  const first = new Attachment(iscsi, url(0));
  await first.attach();
  expect(record()).not.toBe(before);
  const second = new Attachment(iscsi, url(1));
  await second.attach();
  expect(sessions()).toBe(2);
  await first.detach();
  expect(sessions()).toBe(2);
  expect(states(await second.observe())).toEqual(['active', 'active']);
  await second.detach();
  expect(sessions()).toBe(0);
  expect(record()).toBe(before);
  // A session of somebody else, without a disk on it.
  run('iscsiadm', ...node, '--login');
  const third = new Attachment(iscsi, url(2));
  await third.attach();
  await third.detach();
  expect(sessions()).toBe(1);
  run('iscsiadm', ...node, '--logout');
  run('iscsiadm', ...node, '-o', 'delete');
});

test('all paths lost: readers get an error within seconds, and the detach leaves nothing', async () => {
  nothingLeft();
  const volume = ArrayVolume.ofSize(16 * MiB);
  const target = Target.start();
  target.addLun(0, volume);
  const attachment = new Attachment(iscsi, `iscsi://${portals.join(',')}/${target.iqn}/0`);
  const { device } = await attachment.attach();
  cut(0);
  cut(1);
  const began = performance.now();
  expect(() => head(device, 1)).toThrow(/Input\/output error/);
  expect(performance.now() - began).toBeLessThan(45_000);
  await expect(attachment.observe()).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
  await attachment.detach();
});

test('what came up above by itself is taken down; what is open keeps the attachment, and says who', async () => {
  nothingLeft();
  const volume = ArrayVolume.ofSize(64 * MiB);
  const target = Target.start();
  target.addLun(0, volume);
  const attachment = new Attachment(iscsi, `iscsi://${portals.join(',')}/${target.iqn}/0`);
  const { device } = await attachment.attach();
  run('dmsetup', 'create', 'guestvg-root', '--table', `0 2048 linear ${device} 0`);
  const open = openSync('/dev/mapper/guestvg-root', 'r');
  await expect(attachment.detach()).rejects.toMatchObject({
    code: 'DEVICE_BUSY',
    details: { used_by: [expect.stringContaining('guestvg-root')] },
  });
  closeSync(open);
  await attachment.detach();
});

test('what a lost journal has left is found by our mark, and can be cleared away', async () => {
  nothingLeft();
  const volumes = [0, 1].map(() => ArrayVolume.ofSize(16 * MiB));
  const target = Target.start();
  for (const [lun, volume] of volumes.entries()) target.addLun(lun, volume);
  const [lost, kept] = [0, 1].map(
    (lun) => new Attachment(iscsi, `iscsi://${portals[lun]}/${target.iqn}/${lun}`, single),
  );
  if (lost === undefined || kept === undefined) throw new Error('two attachments');
  await lost.attach();
  await kept.attach();
  const found = await iscsi.leftovers?.([kept.built], kept.context);
  expect(found?.map(({ what }) => what)).toEqual([
    expect.stringMatching(new RegExp(`^session \\d+ to ${target.iqn} at ${portals[0]}, with /dev/sd.$`)),
  ]);
  for (const { connection, built } of found ?? []) await iscsi.detach(connection, built, kept.context);
  expect(await iscsi.leftovers?.([kept.built], kept.context)).toEqual([]);
  expect(leftovers().sessions).toHaveLength(1);
  await kept.detach();
});

test('a disk that multipath takes by itself is used through its map, and goes with it', async () => {
  nothingLeft();
  const volume = ArrayVolume.ofSize(16 * MiB);
  marked(volume, 'taken');
  const target = Target.start();
  target.addLun(0, volume);
  const url = `iscsi://${portals[0]}/${target.iqn}/0`;
  const first = new Attachment(iscsi, url, single);
  const { identity } = await first.attach();
  await first.detach();
  const wwid = `3${identity.names.find((name) => name.startsWith('naa.'))?.slice('naa.'.length)}`;
  run('multipath', '-a', wwid);
  onTestFinished(() => void run('multipath', '-w', wwid));
  const second = new Attachment(iscsi, url, single);
  const attached = await second.attach();
  expect(attached.map).toBe(wwid);
  expect(head(attached.device, 5)).toBe('taken');
  await second.detach();
});
