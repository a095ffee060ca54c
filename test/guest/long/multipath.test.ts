/** Settings of multipath that hosts have, and hosts without multipathd: what comes about, and how it is told. */

import { existsSync, readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { iscsi } from '../../../daemon/devices/connect/iscsi/iscsi.ts';
import { Attachment } from '../support/attachment.ts';
import { head, initiatorReady, marked, nothingLeft, single, states } from '../support/iscsi-world.ts';
import { leftovers } from '../support/leftovers.ts';
import { ArrayVolume, portals, Target } from '../support/lio.ts';
import { setMultipath, stopMultipathd } from '../support/services.ts';

const MiB = 2 ** 20;

beforeAll(initiatorReady);

function volume(): string {
  nothingLeft();
  const bytes = ArrayVolume.ofSize(16 * MiB);
  marked(bytes, 'the volume');
  const target = Target.start();
  target.addLun(0, bytes);
  return `iscsi://${portals.join(',')}/${target.iqn}/0`;
}

const knownWwids = (): string =>
  existsSync('/etc/multipath/wwids') ? readFileSync('/etc/multipath/wwids', 'utf8') : '';

async function usual(url: string, policy = {}): Promise<string> {
  const attachment = new Attachment(iscsi, url, { pathsMin: 2, ...policy });
  const { device, map, ...attached } = await attachment.attach();
  expect(states(await attachment.observe())).toEqual(attached.paths.map(() => 'active'));
  expect(head(device, 10)).toBe('the volume');
  await attachment.rescan();
  await attachment.detach();
  expect(knownWwids()).not.toMatch(/^\/36001405/m);
  return map ?? 'no map';
}

// The other tests of iSCSI have "strict".
test.each(['yes', 'greedy'])('with find_multipaths %s', async (value) => {
  const url = volume();
  await setMultipath((text) => text.replace('find_multipaths strict', `find_multipaths ${value}`));
  expect(await usual(url)).toMatch(/^36001405/);
  // Alone, with a map where multipathd takes it by itself.
  await usual(url, { ...single, pathsMin: 1 });
});

test('with friendly names the map is found all the same', async () => {
  const url = volume();
  await setMultipath((text) => text.replace('user_friendly_names no', 'user_friendly_names yes'));
  expect(await usual(url)).toMatch(/^mpath[a-z]+$/);
});

test.each([
  ['WWID', 'blacklist {\n  wwid "36001405.*"\n}\n'],
  ['kind of disk', 'blacklist {\n  devnode "^sd"\n}\n'],
  ['vendor', 'blacklist {\n  device {\n    vendor "LIO-ORG"\n    product ".*"\n  }\n}\n'],
])('a %s that is blacklisted is said to be, soon', async (_what, more) => {
  const url = volume();
  await setMultipath((text) => text + more);
  const enforced = new Attachment(iscsi, url);
  await expect(enforced.attach()).rejects.toMatchObject({
    code: 'MULTIPATH_MISSING',
    message: expect.stringMatching(/the settings of multipath leave out \/dev\/sd[a-z]$/),
  });
  // Not asked again and again.
  const waits = enforced.context.notes.filter((note) => note.startsWith('waiting for multipathd'));
  expect(waits.length).toBeLessThan(3);
  await enforced.detach();
  const free = new Attachment(iscsi, url, { enforceMultipath: false });
  expect(head((await free.attach()).device, 10)).toBe('the volume');
  expect(free.context.notes.join('\n')).toMatch(
    /going on with one path: the settings of multipath leave out \/dev\/sd/,
  );
  await free.detach();
  const few = new Attachment(iscsi, url, { enforceMultipath: false, pathsMin: 2 });
  await expect(few.attach()).rejects.toMatchObject({
    code: 'MULTIPATH_MISSING',
    message: expect.stringMatching(/at least 2 paths are wanted$/),
  });
  await few.detach();
});

test('without multipathd: nothing is begun where it is enforced, and one path is used where not', async () => {
  const url = volume();
  await stopMultipathd();
  const before = leftovers();
  const enforced = new Attachment(iscsi, url);
  await expect(enforced.attach()).rejects.toMatchObject({
    code: 'MULTIPATH_MISSING',
    message: expect.stringMatching(/multipathd does not run/),
  });
  expect(enforced.context.journaled).toEqual([]);
  expect(leftovers()).toEqual(before);
  const free = new Attachment(iscsi, url, { enforceMultipath: false });
  const attached = await free.attach();
  expect(attached.device).toMatch(/^\/dev\/sd/);
  expect(states(attached)).toEqual(['active', 'active']);
  await free.detach();
});

test('a multipathd that ends while a map is up keeps nobody from the volume, nor from a detach', async () => {
  const url = volume();
  const attachment = new Attachment(iscsi, url, { pathsMin: 2 });
  const { device } = await attachment.attach();
  await stopMultipathd();
  expect(head(device, 10)).toBe('the volume');
  expect((await attachment.observe()).device).toBe(device);
  await attachment.detach();
});
