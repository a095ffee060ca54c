/** Files in a volume of a real GlusterFS server, raw and as images. */

import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { readMountTable } from '../../daemon/base/mount-table.ts';
import { nfsConnector } from '../../daemon/devices/connect/nfs/nfs.ts';
import { heldBelow, leftOf } from '../support/attached-world.ts';
import { contextForTest, type TestContext } from '../support/connect.ts';
import { type Daemon, eventually } from '../support/daemon.ts';
import { faultOf, folderForTest, readFully, run } from '../support/devices.ts';
import { daemonForTest, MiB } from '../support/fault-world.ts';
import { type GlusterServer, startGluster } from '../support/gluster-server.ts';
import { eagerSettings, expectAtRest, untilByte } from '../support/resume-world.ts';
import { firstDifference, noise } from '../support/volume-model.ts';

const gluster = nfsConnector({ everyMs: 300, limitMs: 2000 });
const sizeBytes = 16 * MiB;
let server: GlusterServer;
/** Somebody else's mount of the volume. Clients are not told of each other's writes: what others wrote is read over a new one. */
let seen: string;

const mount = (at: string): void =>
  void run('mount', '-t', 'glusterfs', '-o', `log-file=${at}.log`, `${server.host}:/volumes`, at);

beforeAll(async () => {
  server = await startGluster();
  seen = run('mktemp', '--directory', '/tmp/basalt-gluster-client-XXXXXX');
  mount(seen);
});
afterAll(async () => {
  run('umount', '--lazy', seen);
  await server.stop();
  run('rm', '-r', seen, `${seen}.log`);
});

function asItIs<T>(name: string, look: (path: string) => T): T {
  const at = folderForTest();
  mount(at);
  try {
    return look(join(at, name));
  } finally {
    run('umount', at);
    run('rm', `${at}.log`);
  }
}

const bytesOf = (name: string): Buffer => asItIs(name, (path) => readFileSync(path));

const urlOf = (name: string, more = ''): string => `glusterfs://${server.host}/volumes/${name}${more}`;

function raw(name: string, seed = 1, bytes = sizeBytes): Buffer {
  const content = noise(bytes, seed);
  writeFileSync(join(seen, name), content, { flush: true });
  return content;
}

/** An image with these bytes; they are read back by `bytesOfImage`. */
function image(name: string, content: Buffer): void {
  const file = join(folderForTest(), 'raw');
  writeFileSync(file, content);
  run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', file, join(seen, name));
}

function bytesOfImage(name: string): Buffer {
  const file = join(folderForTest(), 'raw');
  asItIs(name, (path) => run('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', path, file));
  return readFileSync(file);
}

/** As the driver of Cinder gives it, in a file. */
function infoOf(name: string, format: string): string {
  const file = join(folderForTest(), 'connection_info.json');
  const data = { export: `${server.host}:/volumes`, name, options: null, format, qos_specs: null };
  const info = { driver_volume_type: 'glusterfs', data: { ...data, access_mode: 'rw', encrypted: false } };
  writeFileSync(file, JSON.stringify({ ...info, mount_point_base: '/var/lib/cinder/mnt' }));
  return `@${file}`;
}

/** Its client ends a moment after the mount has. */
const expectNothingOf = async (daemon: Daemon): Promise<void> => {
  await eventually('its clients have ended', () => leftOf(daemon).length === 0).catch(() => undefined);
  expect(leftOf(daemon)).toEqual([]);
  expect((await daemon.call('device.list', {})).devices).toEqual([]);
};

async function attachFor(context: TestContext, url: string) {
  const connection = gluster.parseUrl(url);
  const detach = () => gluster.detach(connection, context.journaled.at(-1) ?? {}, context);
  onTestFinished(detach);
  return { connection, detach, ...(await gluster.attach(connection, context)) };
}

test('a raw file of a connection_info is backed up, restored onto another one, and leaves nothing', async () => {
  mkdirSync('/var/log/glusterfs', { recursive: true });
  const logs = readdirSync('/var/log/glusterfs');
  const bytes = raw('volume-1', 1);
  raw('onto-1', 2);
  const daemon = await daemonForTest();
  const added = await daemon.basaltctl('volume', 'add', 'shop', infoOf('volume-1', 'raw'), '-f', 'json');
  const { ino } = statSync(join(seen, 'volume-1'), { bigint: true });
  expect(JSON.parse(added.stdout)).toMatchObject({
    source: urlOf('volume-1'),
    size_bytes: sizeBytes,
    identity: { names: [`glusterfs.${server.host}:/volumes#${BigInt.asUintN(64, ino)}`] },
  });
  const made = await daemon.basaltctl('backup', 'create', 'shop', '--wait', '-f', 'json');
  expect(JSON.parse(made.stdout)).toMatchObject({ status: 'available', consistency: 'clean' });
  const { id } = JSON.parse(made.stdout) as { id: string };
  const restored = await daemon.basaltctl('backup', 'restore', id, urlOf('onto-1'), '--force', '--wait');
  expect(restored).toMatchObject({ status: 0 });
  expect(firstDifference(bytesOf('onto-1'), bytes)).toBe(-1);
  await expectNothingOf(daemon);
  expect(readdirSync('/var/log/glusterfs')).toEqual(logs);
});

test('an image is backed up as the volume that it is, and restored into another image', async () => {
  const bytes = Buffer.concat([noise(3 * MiB, 3), Buffer.alloc(10 * MiB), noise(3 * MiB, 4)]);
  image('image-1', bytes);
  image('onto-2', noise(sizeBytes, 5));
  const daemon = await daemonForTest();
  await daemon.basaltctl('volume', 'add', 'shop', infoOf('image-1', 'qcow2'));
  const backup = await daemon.backUp('shop');
  expect(backup).toMatchObject({ size_bytes: sizeBytes, consistency: 'clean' });
  const target = urlOf('onto-2', '?format=qcow2');
  const { stderr } = await daemon.basaltctl('backup', 'restore', backup.id, target, '--force', '--wait');
  expect(stderr).toContain('done');
  expect(firstDifference(bytesOfImage('onto-2'), bytes)).toBe(-1);
  await expectNothingOf(daemon);
});

test.each([
  ['raw', ''],
  ['qcow2', '?format=qcow2'],
])(
  'killed in the middle, backup and restore of a file in format %s go on, and nothing is left',
  async (format, more) => {
    const bytes = noise(sizeBytes, 6);
    const [source, onto] = [`killed-${format}`, `onto-killed-${format}`];
    if (format === 'raw') {
      writeFileSync(join(seen, source), bytes);
      raw(onto, 7);
    } else {
      image(source, bytes);
      image(onto, noise(sizeBytes, 7));
    }
    const daemon = await daemonForTest({ settings: eagerSettings });
    await daemon.addVolume('shop', urlOf(source, more));
    const { job_id, backup } = await daemon.call('backup.create', { volume: 'shop', rate: 6 * MiB });
    await untilByte(daemon, job_id, 2 * MiB);
    await daemon.kill();
    await daemon.start();
    await daemon.done({ job_id });
    const order = { backup: backup.id, target: urlOf(onto, more), force: true, rate: 6 * MiB };
    const restore = await daemon.call('backup.restore', order);
    await untilByte(daemon, restore.job_id, 2 * MiB);
    await daemon.kill();
    await daemon.start();
    await daemon.done(restore);
    const restored = format === 'raw' ? bytesOf(onto) : bytesOfImage(onto);
    expect(firstDifference(restored, bytes)).toBe(-1);
    await expectNothingOf(daemon);
    await expectAtRest(daemon);
  },
);

test('what the operator has attached is attached again after a crash, and detached on request', async () => {
  const bytes = raw('volume-3', 8);
  const daemon = await daemonForTest();
  await daemon.addVolume('shop', urlOf('volume-3'));
  await daemon.basaltctl('device', 'attach', 'shop', '--wait');
  await daemon.kill();
  await daemon.start();
  const device = await eventually('it is attached again', async () => {
    const [one] = (await daemon.call('device.list', {})).devices;
    return one?.status === 'attached' ? one : undefined;
  });
  expect(firstDifference(readFileSync(device.device ?? ''), bytes)).toBe(-1);
  expect(await daemon.basaltctl('device', 'detach', 'shop')).toMatchObject({ status: 0 });
  await expectNothingOf(daemon);
});

test('a brick that stops to answer gives an error in set time, and only to us', async () => {
  const bytes = raw('volume-4', 9);
  const other = folderForTest();
  mount(other);
  onTestFinished(() => void run('rm', `${other}.log`));
  onTestFinished(() => void run('umount', '--lazy', other));
  const context = contextForTest();
  const { device, detach } = await attachFor(context, urlOf('volume-4'));
  const [file, others] = [await open(device, 'r'), await open(join(other, 'volume-4'), 'r')];
  process.kill(server.brickPid, 'SIGSTOP');
  try {
    const startedAtMs = performance.now();
    // It takes a moment until all of its threads stand still, and what was read is not asked for again.
    const readOn = async () => {
      for (let at = 2 * MiB; at < sizeBytes; at += 256 * 1024)
        await file.read(Buffer.alloc(4096), 0, 4096, at);
    };
    await expect(readOn()).rejects.toThrow();
    expect(performance.now() - startedAtMs).toBeLessThan(15_000);
  } finally {
    process.kill(server.brickPid, 'SIGCONT');
    await file.close().catch(() => undefined);
  }
  await detach();
  await others.close();
  expect(firstDifference(readFileSync(join(other, 'volume-4')), bytes)).toBe(-1);
  await eventually('its client has ended', () => heldBelow(context.folder).length === 0);
  expect((await readMountTable()).filter(({ directory }) => directory.startsWith(context.folder))).toEqual(
    [],
  );
});

test('a source can not be written to, and another file of its name is another device', async () => {
  const bytes = raw('volume-5', 10, MiB);
  const context = contextForTest();
  const { connection, built, identity, device, detach } = await attachFor(context, urlOf('volume-5'));
  expect(() => openSync(device, 'r+')).toThrow('EROFS');
  const fd = openSync(device, 'r');
  expect(firstDifference(readFully(fd, MiB), bytes)).toBe(-1);
  expect((await faultOf(detach())).code).toBe('DEVICE_BUSY');
  closeSync(fd);
  run('mv', join(seen, 'volume-5'), join(seen, 'was-5'));
  raw('volume-5', 11, MiB);
  const now = async () => (await gluster.observe(connection, built, context)).identity.names;
  await eventually('it is seen', async () => (await now())[0] !== identity.names[0]);
  await detach();
  await detach();
});

test('no server, no such volume, no such file: each is said, and nothing is left', async () => {
  const whyNot = async (url: string): Promise<string> => {
    const context = contextForTest();
    const { code, message } = await faultOf(attachFor(context, url));
    await gluster.detach(gluster.parseUrl(url), context.journaled.at(-1) ?? {}, context);
    await eventually('nothing is left', () => heldBelow(context.folder).length === 0);
    return `${code}: ${message}`;
  };
  expect(await whyNot(urlOf('nothing'))).toMatch(/^ATTACH_FAILED.*there is no file "nothing"/);
  expect(await whyNot(`glusterfs://${server.host}/elsewhere/v`)).toMatch(/^ATTACH_FAILED.*no such volume/);
  expect(await whyNot('glusterfs://127.24.0.99/volumes/v')).toMatch(/^ATTACH_FAILED.*can not be reached/);
  expect(await whyNot(`glusterfs://${server.host}:24999/volumes/v`)).toMatch(/^ATTACH_FAILED.*can not be/);
});
