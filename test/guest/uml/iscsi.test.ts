/** The iSCSI connector on a real kernel: one path and two, wrong secrets, numbers that lead elsewhere, and nothing left. */

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { iscsi } from '../../../daemon/devices/connect/iscsi/iscsi.ts';
import { eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { Attachment } from '../support/attachment.ts';
import { head, initiatorReady, marked, nothingLeft, single, states } from '../support/iscsi-world.ts';
import { leftovers } from '../support/leftovers.ts';
import { cut, restore } from '../support/links.ts';
import { ArrayVolume, portals, portals6, Target } from '../support/lio.ts';

const MiB = 2 ** 20;

beforeAll(initiatorReady);

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

test('portals of IPv6: named, discovered, shared by a second volume, left', async () => {
  nothingLeft();
  const volumes = [0, 1].map(() => ArrayVolume.ofSize(16 * MiB));
  const target = Target.start({ links: [] });
  for (const portal of portals6) target.listen(portal);
  for (const [lun, volume] of volumes.entries()) {
    target.addLun(lun, volume);
    marked(volume, `volume ${lun}`);
  }
  // Not as the kernel writes them.
  const asked = { target_portals: ['[FD00:0077:0::2]:3260', '[fd00:77:1:0::2]:3260'] };
  const named = { ...asked, target_iqns: [target.iqn, target.iqn], target_luns: [0, 0] };
  const first = new Attachment(iscsi, named, { pathsMin: 2 });
  const attached = await first.attach();
  expect(states(attached)).toEqual(['active', 'active']);
  expect(attached.paths.map(({ via }) => via)).toEqual(
    portals6.map((portal) => `${portal} ${target.iqn} lun 0`).sort(),
  );
  const discover = `iscsi://${portals6[1]}/${target.iqn}/1?discover=yes`;
  const second = new Attachment(iscsi, discover, { pathsMin: 2 });
  expect(head((await second.attach()).device, 8)).toBe('volume 1');
  expect(leftovers().sessions).toHaveLength(2);
  await first.detach();
  expect(states(await second.observe())).toEqual(['active', 'active']);
  await second.detach();
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
  expect(JSON.stringify([right.context.journaled, right.context.notes])).not.toContain('correct-horse');
  await right.detach();
  expect(secrets()).toEqual([]);
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
