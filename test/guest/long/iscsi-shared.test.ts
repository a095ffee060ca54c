/** Sessions, disks and maps that somebody else uses, too: OpenStack on the same host, and other attachments of ours. */

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { iscsi } from '../../../daemon/devices/connect/iscsi/iscsi.ts';
import { eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { Attachment } from '../support/attachment.ts';
import { head, initiatorReady, marked, nothingLeft, single, states } from '../support/iscsi-world.ts';
import { leftovers } from '../support/leftovers.ts';
import { ArrayVolume, portal, portals, Target } from '../support/lio.ts';
import { Nova } from '../support/nova.ts';

const MiB = 2 ** 20;

beforeAll(initiatorReady);

function array(volumes: number, options: Parameters<typeof Target.start>[0] = {}): Target {
  const target = Target.start(options);
  for (let lun = 0; lun < volumes; lun += 1) {
    const volume = ArrayVolume.ofSize(16 * MiB);
    marked(volume, `volume ${lun}`);
    target.addLun(lun, volume);
  }
  return target;
}

const both = ({ iqn }: Target, lun: number, query = ''): string =>
  `iscsi://${portals.join(',')}/${iqn}/${lun}${query}`;
const over = (link: 0 | 1, { iqn }: Target, lun: number, query = ''): string =>
  `iscsi://${portal(link)}/${iqn}/${lun}${query}`;
const holders = (disk: string): string[] => readdirSync(`/sys/block/${disk}/holders`);

test('a session that OpenStack has logged in, its disk and its record are as they were', async () => {
  nothingLeft();
  const target = array(2);
  const nova = new Nova(portal(0), target.iqn);
  nova.login();
  const disk = nova.scan(0);
  const { record, sid } = nova;
  // Another volume on the same session, and the very same one.
  for (const lun of [1, 0]) {
    const attachment = new Attachment(iscsi, both(target, lun), { pathsMin: 2 });
    expect(head((await attachment.attach()).device, 8)).toBe(`volume ${lun}`);
    await attachment.detach();
    expect(nova.record).toBe(record);
    expect(nova.sid).toBe(sid);
    expect(nova.disk(0)).toBe(disk);
    expect(holders(disk)).toEqual([]);
    expect(leftovers().sessions).toHaveLength(1);
  }
  nova.leave(0);
});

test.each([
  ['with a disk on it', [0]],
  ['before it has a disk on it', []],
])('a session of ours that OpenStack has come to share stays, %s', async (_when, luns) => {
  nothingLeft();
  const target = array(2);
  const attachment = new Attachment(iscsi, over(0, target, 1), single);
  await attachment.attach();
  const nova = new Nova(portal(0), target.iqn);
  nova.login();
  const disks = luns.map((lun) => nova.scan(lun));
  const { record } = nova;
  await attachment.detach();
  expect(luns.map((lun) => nova.disk(lun))).toEqual(disks);
  expect(nova.sid).toBeDefined();
  expect(nova.record).toBe(record);
  expect(head(`/dev/${nova.scan(0)}`, 8)).toBe('volume 0');
  nova.leave(0);
  expect(readdirSync('/etc/iscsi').filter((name) => name.startsWith('.basalt'))).toEqual([]);
});

test('a session that was made where a login of ours had failed is not ours', async () => {
  nothingLeft();
  const target = array(1, { links: [0] });
  const attachment = new Attachment(iscsi, both(target, 0));
  expect(states(await attachment.attach())).toEqual(['active', 'missing']);
  target.openPortal(1);
  const nova = new Nova(portal(1), target.iqn);
  nova.login();
  const { record } = nova;
  await attachment.detach();
  expect(nova.sid).toBeDefined();
  expect(nova.record).toBe(record);
  nova.leave();
});

test('a map of ours that a disk of OpenStack has joined is left to it', async () => {
  nothingLeft();
  const target = array(1);
  const attachment = new Attachment(iscsi, over(0, target, 0));
  const { device, map, paths } = await attachment.attach();
  const nova = new Nova(portal(1), target.iqn);
  nova.login();
  const disk = nova.scan(0);
  run('multipathd', 'add', 'path', disk);
  await eventually('the map has both', () => holders(disk).length === 1);
  await attachment.detach();
  expect(existsSync(paths[0]?.device ?? '')).toBe(false);
  expect(head(device, 8)).toBe('volume 0');
  expect(run('multipath', '-ll', map ?? '')).toContain(disk);
  expect(leftovers().sessions).toHaveLength(1);
  run('multipath', '-f', map ?? '');
  nova.leave(0);
  run('multipath', '-w', map ?? '');
});

test('a disk that somebody else has just scanned for is waited for, and stays his', async () => {
  nothingLeft();
  const target = array(1);
  const nova = new Nova(portal(0), target.iqn);
  nova.login();
  nova.scan(0);
  const address = nova.address(0);
  const device = () => readFileSync(`/sys/class/scsi_device/${address}/device/inquiry`).length > 0;
  const bind = (what: 'bind' | 'unbind') => writeFileSync(`/sys/bus/scsi/drivers/sd/${what}`, address);
  // As between the steps of a scan: the unit is there, its disk is not yet.
  bind('unbind');
  expect(nova.disk(0)).toBeUndefined();
  const attachment = new Attachment(iscsi, over(0, target, 0), single);
  const attached = attachment.attach();
  await pause(700);
  expect(device()).toBe(true);
  bind('bind');
  expect(head((await attached).device, 8)).toBe('volume 0');
  await attachment.detach();
  expect(nova.disk(0)).toBeDefined();
  // One that never gets one hides the volume.
  bind('unbind');
  const later = new Attachment(iscsi, over(0, target, 0), single);
  expect(head((await later.attach()).device, 8)).toBe('volume 0');
  await later.detach();
  expect(existsSync(`/sys/class/scsi_device/${address}`)).toBe(false);
  nova.leave();
});

test('a session is shared by who has its secret, and by nobody else', async () => {
  nothingLeft();
  const chap = { user: 'backup', password: 'correct-horse-17' };
  const target = array(2, { chap });
  const right = `?user=${chap.user}&password=${chap.password}`;
  const nova = new Nova(portal(1), target.iqn);
  nova.login(chap);
  onTestFinished(() => {
    if (nova.sid !== undefined) nova.leave();
  });
  const first = new Attachment(iscsi, over(0, target, 0, right), single);
  await first.attach();
  for (const [link, other] of [
    [0, '?user=backup&password=wrong-horse-1234'],
    [0, '?user=somebody&password=correct-horse-17'],
    [0, ''],
    [1, '?user=backup&password=wrong-horse-1234'],
    [1, '?user=backup'],
  ] as const) {
    const refused = new Attachment(iscsi, over(link, target, 1, other), single);
    await expect(refused.attach()).rejects.toMatchObject({
      code: 'ATTACH_DENIED',
      message: expect.stringMatching(/session \d+ is there, with another user name or secret/),
    });
    await refused.detach();
  }
  const second = new Attachment(iscsi, both(target, 1, right), { pathsMin: 2 });
  expect(head((await second.attach()).device, 8)).toBe('volume 1');
  expect(leftovers().sessions).toHaveLength(2);
  await second.detach();
  await first.detach();
  nova.leave();
});
