/** The iSCSI connector on a real kernel: one path and two, wrong secrets, dead portals, numbers that lead elsewhere, growth, detach. */

import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import type { Observation } from '../../../daemon/devices/connect/connector.ts';
import { iscsi } from '../../../daemon/devices/connect/iscsi/iscsi.ts';
import { eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { Attachment } from '../support/attachment.ts';
import { leftovers } from '../support/leftovers.ts';
import { cut, laidLinks, restore } from '../support/links.ts';
import { ArrayVolume, portals, Target } from '../support/lio.ts';
import { startIscsid, startMultipathd } from '../support/services.ts';

const MiB = 2 ** 20;
const single = { multipath: false, enforceMultipath: false };

beforeAll(async () => {
  await startIscsid();
  await startMultipathd();
  laidLinks();
});

const states = ({ paths }: Observation): string[] => paths.map(({ state }) => state);

function nothingLeft(): void {
  const before = leftovers();
  onTestFinished(() => expect(leftovers()).toEqual(before));
}

const marked = (volume: ArrayVolume, text: string): void => {
  execFileSync('dd', [`of=${volume.device}`, 'conv=fsync,notrunc', 'status=none'], { input: text });
};
const head = (device: string, length: number): string =>
  execFileSync('dd', [`if=${device}`, 'iflag=direct', 'bs=4096', 'count=1', 'status=none'])
    .subarray(0, length)
    .toString();

test('one path: attached, looked at, detached, nothing left', async () => {
  nothingLeft();
  const volume = ArrayVolume.ofSize(32 * MiB);
  marked(volume, 'single');
  const target = Target.start();
  target.addLun(5, volume);
  const attachment = new Attachment(iscsi, `iscsi://${portals[0]}/${target.iqn}/5`, single);
  const attached = await attachment.attach();
  expect(attached.device).toMatch(/^\/dev\/sd[a-z]$/);
  expect(attached.identity).toMatchObject({ sizeBytes: 32 * MiB, blockBytes: 512 });
  expect(attached.identity.names.some((name) => /^naa\.6001405[0-9a-f]{25}$/.test(name))).toBe(true);
  expect(attached.map).toBeNull();
  expect(head(attached.device, 6)).toBe('single');
  const seen = await attachment.observe();
  expect(seen).toEqual({ ...attached, built: undefined });
  await attachment.detach();
  await attachment.detach();
});

test('two paths: one map, which goes on when a link is cut', async () => {
  nothingLeft();
  const volume = ArrayVolume.ofSize(32 * MiB);
  marked(volume, 'double');
  const target = Target.start();
  target.addLun(1, volume);
  const attachment = new Attachment(iscsi, `iscsi://${portals.join(',')}/${target.iqn}/1`, { pathsMin: 2 });
  const attached = await attachment.attach();
  expect(attached.device).toMatch(/^\/dev\/dm-\d+$/);
  expect(states(attached)).toEqual(['active', 'active']);
  expect(head(attached.device, 6)).toBe('double');
  cut(0);
  // Two reads, so that each path gets one.
  for (const _ of [0, 1]) expect(head(attached.device, 6)).toBe('double');
  await eventually('the path has failed', async () => states(await attachment.observe()).includes('failed'));
  restore(0);
  await eventually('it is back', async () => !states(await attachment.observe()).includes('failed'), 30_000);
  await attachment.detach();
  expect(existsSync('/etc/multipath/wwids') ? readFileSync('/etc/multipath/wwids', 'utf8') : '').not.toMatch(
    /^\/36001405/m,
  );
  expect(readdirSync('/etc/iscsi/nodes')).toEqual([]);
});

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

test('a wrong secret is refused as such, the right one is in no list of programs and in no file afterwards', async () => {
  nothingLeft();
  const volume = ArrayVolume.ofSize(16 * MiB);
  const target = Target.start({ chap: { user: 'backup', password: 'correct-horse-17' } });
  target.addLun(0, volume);
  const url = (password: string) =>
    `iscsi://${portals.join(',')}/${target.iqn}/0?user=backup&password=${password}`;
  const wrong = new Attachment(iscsi, url('wrong-secret-1234'));
  await expect(wrong.attach()).rejects.toMatchObject({ code: 'ATTACH_DENIED' });
  await wrong.detach();
  const unknown = new Attachment(iscsi, `iscsi://${portals[0]}/${target.iqn}/0?user=backup`, single);
  await expect(unknown.attach()).rejects.toMatchObject({ code: 'ATTACH_DENIED' });
  await unknown.detach();
  const right = new Attachment(iscsi, url('correct-horse-17'));
  expect(states(await right.attach())).toEqual(['active', 'active']);
  const secrets = () =>
    run('sh', '-c', 'grep -rl correct-horse /etc/iscsi || true').split('\n').filter(Boolean);
  for (const file of secrets()) expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(JSON.stringify([right.journal, right.notes])).not.toContain('correct-horse');
  await right.detach();
  expect(secrets()).toEqual([]);
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

test('a number that leads to another volume behind our back is seen on the next look, and by the next attach', async () => {
  nothingLeft();
  const [one, two] = [ArrayVolume.ofSize(16 * MiB), ArrayVolume.ofSize(16 * MiB)];
  marked(two, 'second');
  const target = Target.start();
  target.addLun(0, one);
  const attachment = new Attachment(iscsi, `iscsi://${portals.join(',')}/${target.iqn}/0`);
  const before = await attachment.attach();
  target.remap(0, two);
  await expect(attachment.observe()).rejects.toMatchObject({ code: 'WRONG_DEVICE' });
  await expect(attachment.rescan()).rejects.toMatchObject({ code: 'WRONG_DEVICE' });
  // A second attachment finds the leftovers of the first, and nobody in them.
  const later = new Attachment(iscsi, `iscsi://${portals.join(',')}/${target.iqn}/0`);
  const after = await later.attach();
  expect(after.identity.names).not.toEqual(before.identity.names);
  expect(head(after.device, 6)).toBe('second');
  await later.detach();
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
