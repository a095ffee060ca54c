/** Volumes of LVM by their URL: switched on for a job and off afterwards, and left alone where they were on before. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { lvmConnector } from '../../../daemon/devices/connect/lvm/connector.ts';
import { connectorContract } from '../../contract/connector.ts';
import { codeOfCall } from '../../support/daemon.ts';
import { folderForTest, run } from '../../support/devices.ts';
import { daemonForTest, expectRestores, MiB, underWay } from '../../support/fault-world.ts';
import { noise } from '../../support/volume-model.ts';
import { type VolumeGroup, volumeGroup } from '../support/lvm.ts';
import { unlimited } from '../support/lvm-world.ts';
import { settled } from '../support/services.ts';
import { momentOf, startWriter } from '../support/writer.ts';

const sizeBytes = 16 * MiB;

const isOn = (name: string): boolean =>
  run('lvs', '--noheadings', '-o', 'lv_active', name).trim() === 'active';
const switched = (how: 'y' | 'n', name: string): void =>
  void run('lvchange', '--activate', how, '--ignoreactivationskip', name);

/** A group whose volumes udev does not switch on by itself. */
function quietGroup(sizeBytes: number, options: { poolBytes?: number } = {}): VolumeGroup {
  const group = volumeGroup(sizeBytes, options);
  run('vgchange', '--quiet', '--setautoactivation', 'n', group.name);
  settled();
  return group;
}

connectorContract('LVM', async () => {
  const group = quietGroup(64 * MiB, { poolBytes: 16 * MiB });
  const bytes = noise(2 * MiB, 1);
  const [name, path] = [`${group.name}/shop`, group.thin('shop', 4 * MiB)];
  const whole = Buffer.concat([bytes, bytes]);
  writeFileSync(path, whole);
  switched('n', name);
  const left = () => (isOn(name) ? [name] : []);
  return { connector: lvmConnector, url: `lvm:${name}`, bytes: whole, secrets: [], left };
});

test('a volume that is off is on while it is backed up or restored to, and one that is on stays on', async () => {
  const group = quietGroup(160 * MiB);
  const bytes = noise(sizeBytes, 1);
  writeFileSync(group.thin('shop', sizeBytes), bytes);
  group.thick('target', sizeBytes);
  const [shop, target] = [`${group.name}/shop`, `${group.name}/target`];
  // Thin snapshots are marked like this by LVM itself.
  run('lvchange', '--setactivationskip', 'y', shop);
  switched('n', shop);
  switched('n', target);
  const daemon = await daemonForTest();
  await daemon.addVolume('shop', `lvm:${shop}`);
  const { backup, job_id } = await daemon.call('backup.create', { volume: 'shop', rate: 4 * MiB });
  await underWay(daemon, job_id);
  expect(isOn(shop)).toBe(true);
  const { devices } = await daemon.call('device.list', {});
  expect(devices).toMatchObject([{ url: `lvm:${shop}`, size_bytes: sizeBytes }]);
  await daemon.done({ job_id });
  expect(isOn(shop)).toBe(false);
  expect((await daemon.call('device.list', {})).devices).toEqual([]);
  const restore = { backup: backup.id, target: `lvm:${target}`, force: true };
  await daemon.done(daemon.call('backup.restore', restore));
  expect(isOn(target)).toBe(false);
  switched('y', target);
  await daemon.done(daemon.call('backup.restore', restore));
  expect(isOn(target)).toBe(true);
  expect(readFileSync(`/dev/${target}`).equals(bytes)).toBe(true);
  await expectRestores(daemon, backup.id, bytes);
  // Of LVM itself nothing is a volume, and what is not there is told at once.
  for (const name of ['pool', 'nobody']) {
    await daemon.addVolume(name, `lvm:${group.name}/${name}`).then(
      async () => daemon.failed(daemon.call('backup.create', { volume: name }), 'ATTACH_FAILED'),
      (thrown: unknown) => expect(String(thrown)).toMatch(/pool|no such volume/),
    );
  }
  expect(await codeOfCall(daemon.addVolume('odd', `lvm:${group.name}/pool_tmeta`))).toBe('INVALID_ARGUMENT');
});

/** The host looks restarted: its kernel has another id. */
function restarted(): void {
  const [folder, file] = [folderForTest(), '/proc/sys/kernel/random/boot_id'];
  const id = join(folder, 'boot_id');
  writeFileSync(id, '00000000-1111-2222-3333-444444444444\n');
  run('mount', '--bind', id, file);
  onTestFinished(() => void run('umount', file));
}

test.each([
  ['is off again after a daemon that was killed', false],
  ['stays on where the host was restarted meanwhile, and has switched it on itself', true],
])('what an attach has switched on %s', async (_what, isRestart) => {
  const group = quietGroup(64 * MiB, { poolBytes: 32 * MiB });
  const shop = `${group.name}/shop`;
  const bytes = noise(sizeBytes, 3);
  writeFileSync(group.thin('shop', sizeBytes), bytes);
  switched('n', shop);
  const daemon = await daemonForTest();
  await daemon.addVolume('shop', `lvm:${shop}`);
  const { backup, job_id } = await daemon.call('backup.create', { volume: 'shop', rate: MiB });
  await underWay(daemon, job_id);
  expect(isOn(shop)).toBe(true);
  await daemon.kill();
  if (isRestart) {
    switched('n', shop);
    restarted();
    switched('y', shop);
  }
  await daemon.start();
  await unlimited(daemon, job_id);
  await daemon.done({ job_id });
  expect((await daemon.call('device.list', {})).devices).toEqual([]);
  expect(isOn(shop)).toBe(isRestart);
  await expectRestores(daemon, backup.id, bytes);
});

test('a volume in use is read from a snapshot by its URL, too, and a killed daemon leaves nothing on', async () => {
  const group = quietGroup(160 * MiB);
  const path = group.thin('shop', sizeBytes);
  const shop = `${group.name}/shop`;
  const idle = `${group.name}/idle`;
  writeFileSync(group.thin('idle', sizeBytes), noise(sizeBytes, 2));
  switched('n', idle);
  const daemon = await daemonForTest();
  await daemon.addVolume('shop', `lvm:${shop}`);
  await daemon.addVolume('idle', `lvm:${idle}`);
  const writer = await startWriter(path, sizeBytes, 0.002);
  await daemon.failed(daemon.call('backup.create', { volume: 'shop' }), 'SOURCE_BUSY');
  const started = await daemon.call('backup.create', { volume: 'shop', force: true, rate: MiB });
  const other = await daemon.call('backup.create', { volume: 'idle', rate: MiB });
  await underWay(daemon, started.job_id);
  await underWay(daemon, other.job_id);
  expect(isOn(idle)).toBe(true);
  await daemon.kill();
  await daemon.start();
  for (const { job_id } of [started, other]) {
    await unlimited(daemon, job_id);
    await daemon.done({ job_id });
  }
  await writer.stop();
  expect(isOn(idle)).toBe(false);
  expect(isOn(shop)).toBe(true);
  expect(
    run('lvs', '--noheadings', '-o', 'lv_name', group.name)
      .split('\n')
      .map((name) => name.trim())
      .sort(),
  ).toEqual(['idle', 'pool', 'shop']);
  const target = `${daemon.folder}/shop.out`;
  await daemon.done(daemon.call('backup.restore', { backup: started.backup.id, target }));
  expect(momentOf(readFileSync(target))).toBeGreaterThanOrEqual(64);
});
