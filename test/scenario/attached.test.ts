/** Volumes that have to be attached: backed up from, restored to, shared with the operator, and gone afterwards, whatever happens to
 *  the daemon, the job or the storage. On real NBD servers. */

import { closeSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { hostname, machine } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { leftOf } from '../support/attached-world.ts';
import { codeOfCall, eventually } from '../support/daemon.ts';
import { folderForTest } from '../support/devices.ts';
import { addNoise, daemonForTest, expectRestores, MiB } from '../support/fault-world.ts';
import { serveNbd, serveNbdAt } from '../support/nbd-server.ts';
import { expectAtRest, untilByte } from '../support/resume-world.ts';
import { firstDifference, noise } from '../support/volume-model.ts';

/** A server over an image with the bytes. */
async function served(bytes: Buffer, ...options: string[]) {
  const image = join(folderForTest(), 'served.img');
  writeFileSync(image, bytes);
  return { image, ...(await serveNbd(image, ...options)) };
}

test('a volume behind a server is added, backed up and restored to, and nothing stays attached', async () => {
  const daemon = await daemonForTest();
  const bytes = noise(8 * MiB, 1);
  const source = await served(bytes);
  const target = await served(Buffer.alloc(8 * MiB, 7));
  const added = await daemon.basaltctl('volume', 'add', 'shop', source.url, '-f', 'json');
  expect(added).toMatchObject({ status: 0, stderr: expect.stringContaining('attaching') });
  expect(JSON.parse(added.stdout)).toMatchObject({
    source: source.url,
    size_bytes: 8 * MiB,
    identity: { names: [], serial: null },
  });
  expect(leftOf(daemon)).toEqual([]);
  const backup = await daemon.backUp('shop');
  expect(backup).toMatchObject({ status: 'available', size_bytes: 8 * MiB, consistency: 'clean' });
  await expectRestores(daemon, backup.id, bytes);

  const restore = { backup: backup.id, target: target.url };
  expect(await codeOfCall(daemon.call('backup.restore', restore))).toBe('TARGET_EXISTS');
  const job = await daemon.done(daemon.call('backup.restore', { ...restore, force: true, name: 'copy' }));
  expect(job.result).toMatchObject({ target: target.url, restored_bytes: 8 * MiB });
  expect(firstDifference(readFileSync(target.image), bytes)).toBe(-1);
  expect(await daemon.call('volume.show', { volume: 'copy' })).toMatchObject({ source: target.url });
  // By its URL or by its name, it is the registered volume.
  await daemon.done(daemon.call('backup.restore', { backup: backup.id, target: 'copy', force: true }));
  const byUrl = await daemon.done(
    daemon.call('backup.restore', { ...restore, force: true, differential: true }),
  );
  expect(byUrl.volume_id).toBe((await daemon.call('volume.show', { volume: 'copy' })).id);
  expect(leftOf(daemon)).toEqual([]);
  expect((await daemon.call('device.list', {})).devices).toEqual([]);
  await expectAtRest(daemon);
});

test('what the operator attaches stays for him, beyond jobs and a restart, until he detaches it', async () => {
  const daemon = await daemonForTest();
  const source = await served(noise(4 * MiB, 2));
  await daemon.addVolume('shop', source.url);
  const attached = await daemon.basaltctl('device', 'attach', 'shop', '--wait', '-f', 'json');
  expect(attached).toMatchObject({ status: 0, stderr: expect.stringContaining('attaching') });
  const device = JSON.parse(attached.stdout) as { id: string; device: string };
  expect(device).toMatchObject({ url: source.url, kind: 'nbd', status: 'attached', size_bytes: 4 * MiB });
  expect(readFileSync(device.device).equals(readFileSync(source.image))).toBe(true);
  await daemon.backUp('shop');
  const inUse = (await daemon.call('device.list', {})).devices;
  expect(inUse).toMatchObject([
    { id: device.id, users: [{ kind: 'operator' }], paths: [{ state: 'active', via: source.url }] },
  ]);

  await daemon.stop();
  expect(leftOf(daemon)).toEqual([]);
  await daemon.start();
  const again = async () => {
    const [one] = (await daemon.call('device.list', {})).devices;
    return one?.status === 'attached' ? one : undefined;
  };
  expect(await eventually('it is attached again', again)).toMatchObject({
    id: device.id,
    users: [{ kind: 'operator' }],
  });
  expect((await daemon.call('device.list', { stale: true })).devices).toEqual([]);

  await daemon.kill();
  await daemon.start();
  await eventually('it is attached again', again);
  const shown = await daemon.basaltctl('device', 'rescan', 'shop', '-f', 'json');
  expect(JSON.parse(shown.stdout)).toMatchObject({ attachment_id: device.id, size_bytes: 4 * MiB });
  expect(await daemon.basaltctl('device', 'detach', 'shop')).toMatchObject({ status: 0 });
  expect(leftOf(daemon)).toEqual([]);
  const unknown = await daemon.basaltctl('device', 'detach', 'shop');
  expect(unknown).toMatchObject({ status: 66, stderr: expect.stringContaining('basaltctl device list') });
});

test('an attached device that is in use is called what the operator calls it', async () => {
  const daemon = await daemonForTest();
  const source = await served(noise(MiB, 9));
  await daemon.addVolume('shop', source.url);
  const attached = await daemon.basaltctl(
    'device',
    'attach',
    'shop',
    '--wait',
    '-f',
    'value',
    '-c',
    'device',
  );
  const open = openSync(attached.stdout.trim(), 'r+');
  try {
    const refused = await daemon.basaltctl('backup', 'create', 'shop', '--wait');
    expect(refused).toMatchObject({ status: 75, stderr: expect.stringContaining('it is in use') });
    expect(refused.stderr).toContain(`Cannot read "${source.url}"`);
  } finally {
    closeSync(open);
  }
  expect(await daemon.basaltctl('device', 'detach', 'shop')).toMatchObject({ status: 0 });
});

test('killed in the middle, a backup goes on with the device attached anew; a detach meanwhile is refused', async () => {
  const daemon = await daemonForTest({ settings: 'checkpoint_interval = 1\n' });
  const bytes = noise(40 * MiB, 3);
  const source = await served(bytes);
  await daemon.addVolume('shop', source.url);
  const { job_id, backup } = await daemon.call('backup.create', { volume: 'shop', rate: 16 * MiB });
  await untilByte(daemon, job_id, 4 * MiB);
  const busy = await daemon.basaltctl('device', 'detach', 'shop');
  expect(busy).toMatchObject({ status: 75, stderr: expect.stringContaining(`job "${job_id}"`) });
  await daemon.kill();
  await daemon.start();
  const job = await daemon.done({ job_id });
  expect(job.history.map(({ event }) => event)).toContain('resumed');
  await expectRestores(daemon, backup.id, bytes);
  expect(leftOf(daemon)).toEqual([]);
  expect((await daemon.call('device.list', {})).devices).toEqual([]);
  await expectAtRest(daemon);
});

test('killed in the middle, a restore goes on with its target attached anew', async () => {
  const daemon = await daemonForTest({ settings: 'checkpoint_interval = 1\n' });
  const bytes = await addNoise(daemon, 'local', 16 * MiB, 8);
  const { id } = await daemon.backUp('local');
  const target = await served(Buffer.alloc(16 * MiB, 7));
  const order = { backup: id, target: target.url, force: true, rate: 6 * MiB };
  const { job_id } = await daemon.call('backup.restore', order);
  await untilByte(daemon, job_id, 4 * MiB);
  await daemon.kill();
  await daemon.start();
  const job = await daemon.done({ job_id });
  expect(job.history.map(({ event }) => event)).toContain('resumed');
  expect(firstDifference(readFileSync(target.image), bytes)).toBe(-1);
  expect(leftOf(daemon)).toEqual([]);
  await expectAtRest(daemon);
});

test('a restore that is refused before it writes leaves the volume as it was; one that began says so', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'local', 8 * MiB, 8);
  const { id: backup } = await daemon.backUp('local');
  const target = await served(Buffer.alloc(8 * MiB, 7));
  await daemon.addVolume('till', target.url);
  const order = { backup, target: 'till', force: true };
  const till = () => daemon.call('volume.show', { volume: 'till' });
  const away = async () => {
    await target.kill();
    await daemon.failed(daemon.call('backup.restore', order), 'ATTACH_FAILED');
    const attach = await daemon.basaltctl('device', 'attach', 'till', '--wait');
    expect(attach).toMatchObject({ status: 74, stdout: '', stderr: expect.stringMatching(/^attaching/) });
    // What comes after the attaching has not begun.
    expect(attach.stderr).not.toMatch(/^starting$/m);
    expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
    return till();
  };
  expect(await away()).toMatchObject({ status: 'available', written_ranges: [], written_bytes: 0 });

  const again = await serveNbdAt(target.socket, target.image);
  const { job_id } = await daemon.call('backup.restore', { ...order, rate: 2 * MiB });
  await untilByte(daemon, job_id, MiB);
  await daemon.call('job.cancel', { job: job_id });
  const half = await till();
  expect(half).toMatchObject({ status: 'error_restoring', written_ranges: [{ offset: 0 }] });
  await again.kill();
  // Refused now, it is as the one before has left it.
  const { written_ranges, written_bytes } = half;
  expect(await away()).toMatchObject({ status: 'error_restoring', written_ranges, written_bytes });
  expect(leftOf(daemon)).toEqual([]);
});

test('stopped in the middle, nothing stays mounted, and the backup goes on at the next start', async () => {
  const daemon = await daemonForTest();
  const bytes = noise(24 * MiB, 4);
  const source = await served(bytes);
  await daemon.addVolume('shop', source.url);
  const { job_id, backup } = await daemon.call('backup.create', { volume: 'shop', rate: 8 * MiB });
  await untilByte(daemon, job_id, 2 * MiB);
  await daemon.stop();
  expect(leftOf(daemon)).toEqual([]);
  await daemon.start();
  await daemon.done({ job_id });
  await expectRestores(daemon, backup.id, bytes);
  expect(leftOf(daemon)).toEqual([]);
});

test('a storage that dies while it is read fails the backup, and nothing stays attached', async () => {
  const daemon = await daemonForTest();
  const source = await served(noise(64 * MiB, 5));
  await daemon.addVolume('shop', source.url);
  const started = await daemon.call('backup.create', { volume: 'shop', rate: 8 * MiB });
  await untilByte(daemon, started.job_id, MiB);
  await source.kill();
  const { fault } = await daemon.ended(started.job_id);
  expect(['SOURCE_READ_FAILED', 'DEVICE_FAILED']).toContain(fault?.code);
  await eventually('nothing is left', async () => {
    const { devices } = await daemon.call('device.list', {});
    return devices.length + leftOf(daemon).length === 0;
  });
  await expectAtRest(daemon);
});

test('a storage that never answers: a cancelled backup ends at once, and nothing is left', async () => {
  const daemon = await daemonForTest({ settings: 'attach_timeout = 20\n' });
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void silent.close());
  const address = silent.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  const url = `nbd://127.0.0.1:${address.port}/disk`;
  await daemon.call('volume.add', { name: 'shop', source: url, attach: false });
  const { job_id } = await daemon.call('backup.create', { volume: 'shop' });
  const attaching = async () =>
    (await daemon.call('job.show', { job: job_id })).phase.startsWith('attaching');
  await eventually('it attaches', attaching);
  const startedAtMs = performance.now();
  expect(await daemon.call('job.cancel', { job: job_id })).toMatchObject({ status: 'cancelled' });
  expect(performance.now() - startedAtMs).toBeLessThan(1_500);
  await eventually('nothing is left', async () => {
    const { devices } = await daemon.call('device.list', {});
    return devices.length + leftOf(daemon).length === 0;
  });
  await expectAtRest(daemon);
});

test('what has no name of its own is known by its size: another one is refused until somebody says that it has grown', async () => {
  const daemon = await daemonForTest();
  const source = await served(noise(2 * MiB, 8), '--shared=1');
  await daemon.addVolume('shop', source.url);
  await daemon.backUp('shop');
  await source.kill();
  const grown = noise(3 * MiB, 9);
  writeFileSync(source.image, grown);
  await serveNbdAt(source.socket, source.image);
  const { fault } = await daemon.failed(daemon.call('backup.create', { volume: 'shop' }), 'WRONG_DEVICE');
  expect(fault).toMatchObject({
    message: expect.stringMatching(/it has 3145728 bytes, not 2097152/),
    hint: expect.stringContaining('--accept-identity any'),
  });
  expect(leftOf(daemon)).toEqual([]);
  await daemon.call('volume.set', { volume: 'shop', accept_identity: 'any' });
  const { id } = await daemon.backUp('shop');
  await expectRestores(daemon, id, grown);
});

test('a volume that was never looked at counts its true size against the quota', async () => {
  const daemon = await daemonForTest();
  const source = await served(noise(MiB, 6));
  await daemon.call('volume.add', { name: 'shop', source: source.url, attach: false });
  expect(await daemon.call('volume.show', { volume: 'shop' })).toMatchObject({
    size_bytes: 0,
    identity: null,
  });
  await daemon.call('quota.set', { project: 'default', backup_gigabytes: 0 });
  await daemon.failed(daemon.call('backup.create', { volume: 'shop' }), 'OVER_QUOTA');
  await daemon.call('quota.set', { project: 'default', backup_gigabytes: 1 });
  expect(await daemon.backUp('shop')).toMatchObject({ size_bytes: MiB });
  expect(await daemon.call('volume.show', { volume: 'shop' })).toMatchObject({
    size_bytes: MiB,
    identity: { names: [], serial: null },
  });
  expect(leftOf(daemon)).toEqual([]);
});

test('a connection_info that nobody can use is refused, and the secrets of one are told to nobody', async () => {
  const daemon = await daemonForTest();
  const file = join(folderForTest(), 'info.json');
  const data = { auth_password: 'swordfish', target: 'x' };
  writeFileSync(file, JSON.stringify({ connection_info: { driver_volume_type: 'vmdk', data } }));
  const refused = await daemon.basaltctl('volume', 'add', 'shop', `@${file}`);
  expect(refused).toMatchObject({ status: 64, stderr: expect.stringMatching(/"vmdk".*\n.*"local"/) });
  writeFileSync(file, '{"auth_password": "swordfish", ');
  const broken = await daemon.basaltctl('device', 'attach', `@${file}`);
  expect(broken).toMatchObject({ status: 64, stderr: expect.stringContaining('it is no JSON') });
  writeFileSync(file, JSON.stringify({ driver_volume_type: 'local', data: { device_path: file } }));
  expect(await daemon.basaltctl('volume', 'add', 'shop', `@${file}`)).toMatchObject({ status: 0 });
  expect(await daemon.basaltctl('device', 'attach', 'shop')).toMatchObject({ status: 64 });
  const iscsi = { target_portal: '192.0.2.1:3260', target_iqn: 'iqn.2026-01.example:disk', target_lun: 1 };
  const chap = { auth_method: 'CHAP', auth_username: 'backup', auth_password: 'swordfish' };
  const info = { driver_volume_type: 'iscsi', data: { ...iscsi, ...chap, access_mode: 'ro' } };
  writeFileSync(file, JSON.stringify({ attachment: { id: 'x', connection_info: info } }));
  const added = await daemon.basaltctl('volume', 'add', 'array', `@${file}`, '--no-attach', '-f', 'json');
  expect(JSON.parse(added.stdout)).toMatchObject({
    source: expect.stringMatching(/^iscsi:\/\/192.*disk\/1/),
  });
  expect(statSync(join(daemon.stateDir, 'catalog.mdb')).mode & 0o777).toBe(0o600);
  // What the storage lets this host only read is not restored to.
  await addNoise(daemon, 'local', MiB, 7);
  const { id } = await daemon.backUp('local');
  const onto = daemon.call('backup.restore', { backup: id, target: 'array', force: true });
  expect(await codeOfCall(onto)).toBe('TARGET_READ_ONLY');
  await daemon.stop();
  await daemon.start();
  const told = await Promise.all([
    daemon.call('volume.list', {}),
    daemon.call('volume.show', { volume: 'array' }),
    daemon.call('job.list', {}),
    daemon.call('events.list', {}),
    daemon.call('device.list', { stale: true }),
  ]);
  expect(JSON.stringify(told)).toContain('192.0.2.1');
  expect(JSON.stringify(told) + added.stdout + added.stderr).not.toContain('swordfish');
  for (const said of [refused, broken])
    expect(said.stderr + said.stdout + daemon.log).not.toContain('swordfish');
});

test('the connector of this host is whole JSON in the words of Cinder, with what the operator says in its place', async () => {
  const daemon = await daemonForTest({ settings: 'use_multipath = false\n' });
  const told = await daemon.basaltctl('device', 'connector', '--ip', '10.0.0.9', '-f', 'json');
  expect(told.status).toBe(0);
  expect(JSON.parse(told.stdout)).toMatchObject({
    host: hostname(),
    ip: '10.0.0.9',
    os_type: 'linux',
    platform: machine(),
    multipath: false,
    nqn: expect.stringMatching(/^nqn\./),
  });
  const own = await daemon.basaltctl(
    'device',
    'connector',
    '--host',
    'other',
    '-f',
    'value',
    '-c',
    'host',
    '-c',
    'ip',
  );
  expect(own.stdout).toMatch(/^other\n\d+\.\d+\.\d+\.\d+\n$/);
  expect((await daemon.basaltctl('device', 'connector', '--ip', 'here')).status).toBe(64);
});
