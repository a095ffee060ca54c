/** Images of a real cluster of Ceph. */

import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../daemon/base/bytes.ts';
import { readMountTable } from '../../daemon/base/mount-table.ts';
import type { Connection } from '../../daemon/devices/connect/connector.ts';
import { rbdConnector } from '../../daemon/devices/connect/rbd/rbd.ts';
import { openSource } from '../../daemon/devices/source.ts';
import { native } from '../../native/native.ts';
import { type CephCluster, startCeph } from '../support/ceph-cluster.ts';
import { contextForTest, type TestContext, toolsWithout } from '../support/connect.ts';
import { eventually } from '../support/daemon.ts';
import { faultOf, folderForTest, readFully, run, runsOf } from '../support/devices.ts';
import { daemonForTest, expectRestores } from '../support/fault-world.ts';
import { firstDifference, noise } from '../support/volume-model.ts';

const rbd = rbdConnector({ everyMs: 300, limitMs: 2000 });
const sizeBytes = 32 * MiB;
const dataBytes = 8 * MiB;
let ceph: CephCluster;
beforeAll(async () => {
  ceph = await startCeph();
});
afterAll(() => ceph.stop());

/** An image with noise in its first 8 MiB. It ends with the cluster. */
function image(name: string, seed = 1): Buffer {
  const file = join(folderForTest(), 'bytes');
  const bytes = Buffer.concat([noise(dataBytes, seed), Buffer.alloc(sizeBytes - dataBytes)]);
  writeFileSync(file, bytes);
  ceph.rbd('import', '--no-progress', file, `rbd/${name}`);
  return bytes;
}

/** The words of all processes; one that ends meanwhile has none. */
const commandLines = (): string[] =>
  readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      } catch {
        return '';
      }
    });

const urlOf = (name: string): string => `rbd://rbd/${name}?conf=${ceph.conf}&id=backup`;
const snapshotsOf = (name: string): string => ceph.rbd('snap', 'ls', `rbd/${name}`);

async function attachFor(context: TestContext, connection: Connection) {
  const detach = () => rbd.detach(connection, context.journaled.at(-1) ?? {}, context);
  onTestFinished(detach);
  return { detach, ...(await rbd.attach(connection, context)) };
}

async function expectNothing(name: string, { folder }: TestContext): Promise<void> {
  expect(snapshotsOf(name)).toBe('');
  expect(readdirSync(folder)).toEqual([]);
  expect((await readMountTable()).filter(({ directory }) => directory.startsWith(folder))).toEqual([]);
}

test('an image is read as it was at one moment, with its holes, and its snapshot is removed', async () => {
  const bytes = image('v1');
  const connection = rbd.parseUrl(urlOf('v1'));
  const context = contextForTest();
  const { detach, ...attached } = await attachFor(context, connection);
  expect(attached.identity).toMatchObject({
    sizeBytes,
    names: [expect.stringMatching(/^rbd\.[0-9a-f-]{36}\/\d+\/[0-9a-f]+$/)],
  });
  expect(snapshotsOf('v1')).toContain(`basalt-${context.id}`);
  ceph.rbd('bench', '--io-type', 'write', '--io-size', '1M', '--io-total', '4M', 'rbd/v1');
  const source = await openSource({ native }, attached.device, { force: false });
  expect(firstDifference(readFully(source.fd, sizeBytes), bytes)).toBe(-1);
  expect(await runsOf(source)).toEqual([`data 0+${dataBytes}`, `hole ${dataBytes}+${sizeBytes - dataBytes}`]);
  await source.close();
  expect((await rbd.observe(connection, attached.built, context)).identity).toEqual(attached.identity);
  await detach();
  await detach();
  await expectNothing('v1', context);
});

test('the connection_info of Cinder is enough, and its key is in no command line', async () => {
  const bytes = image('v2');
  const { host, port } = ceph.mon;
  const key = ceph.keyOf('client.backup');
  const keyring = `[client.backup]\n\tkey = ${key}\n`;
  const info = { name: 'rbd/v2', hosts: [host], ports: [String(port)], auth_username: 'backup', keyring };
  const connection = rbd.parseInfo(info, { driverType: 'rbd' });
  const context = contextForTest();
  const { device, detach } = await attachFor(context, connection);
  const words = commandLines();
  expect(words.some((line) => line.includes(context.folder))).toBe(true);
  expect(words.some((line) => line.includes(key))).toBe(false);
  expect(JSON.stringify(context.journaled)).not.toContain(key);
  const fd = openSync(device, 'r');
  expect(firstDifference(readFully(fd, sizeBytes), bytes)).toBe(-1);
  closeSync(fd);
  await detach();
  await expectNothing('v2', context);
});

test('an image is written to only where nobody else has it open', async () => {
  image('v3');
  const connection = rbd.parseUrl(urlOf('v3'));
  const first = contextForTest({ access: 'write' });
  const { device, detach } = await attachFor(first, connection);
  const file = await open(device, 'r+');
  await file.write(noise(MiB, 9), 0, MiB, 16 * MiB);
  await file.sync();
  const { message } = await faultOf(attachFor(contextForTest({ access: 'write' }), connection));
  expect(message).toMatch(/it is in use by 127\.0\.0\.1/);
  await file.close();
  await detach();
  const second = contextForTest();
  const attached = await attachFor(second, connection);
  const fd = openSync(attached.device, 'r');
  expect(firstDifference(readFully(fd, MiB, 16 * MiB), noise(MiB, 9))).toBe(-1);
  closeSync(fd);
});

test('of two who would write to one image by different names, one does', async () => {
  image('v9');
  const { host, port } = ceph.mon;
  const byMonitor = rbd.parseUrl(`rbd://rbd/v9?mons=${host}:${port}&id=backup`);
  const names = [rbd.parseUrl(urlOf('v9')), { ...byMonitor, key: ceph.keyOf('client.backup') }];
  const turns = new Map<string, Promise<unknown>>();
  const alone = async <T>(key: string, task: () => Promise<T>): Promise<T> => {
    const turn = Promise.resolve(turns.get(key)).then(task);
    turns.set(
      key,
      turn.catch(() => undefined),
    );
    return turn;
  };
  const ended = await Promise.allSettled(
    names.map((connection) => attachFor({ ...contextForTest({ access: 'write' }), alone }, connection)),
  );
  expect(ended.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
});

test('who may only read is told which right is missing, and leaves nothing', async () => {
  image('v12');
  ceph.rbd('snap', 'create', '--no-progress', 'rbd/v12@night');
  const url = urlOf('v12').replace('id=backup', 'id=reader');
  for (const text of [url, url.replace('v12', 'v12@night')]) {
    const { code, hint } = await faultOf(attachFor(contextForTest(), rbd.parseUrl(text)));
    expect({ code, hint }).toMatchObject({
      code: 'ATTACH_DENIED',
      hint: expect.stringContaining('profile "rbd"'),
    });
  }
});

test('an image that can have no snapshot is read as it is, until somebody opens it', async () => {
  const bytes = image('v10');
  ceph.rbd('snap', 'create', '--no-progress', 'rbd/v10@only');
  ceph.rbd('snap', 'limit', 'set', '--limit', '1', 'rbd/v10');
  const connection = rbd.parseUrl(urlOf('v10'));
  const context = contextForTest();
  const { device, built } = await attachFor(context, connection);
  expect(context.notes.join()).toContain('reading it as it is');
  const fd = openSync(device, 'r');
  expect(firstDifference(readFully(fd, sizeBytes), bytes)).toBe(-1);
  closeSync(fd);
  expect((await rbd.observe(connection, built, context)).identity.sizeBytes).toBe(sizeBytes);
  const writing = attachFor(contextForTest({ access: 'write' }), connection);
  expect((await faultOf(writing)).message).toMatch(/it is in use by/);
  const other = spawn('rbd', ['-c', ceph.conf, 'watch', 'rbd/v10'], { stdio: ['pipe', 'ignore', 'ignore'] });
  onTestFinished(() => void other.kill());
  await eventually('another one is seen', async () => {
    const looked = await rbd.observe(connection, built, context).then(() => '', String);
    return /has opened it meanwhile/.test(looked);
  });
});

test.each([1, 2, 3, 4])('an attach that ends at entry %i of its journal is undone', async (at) => {
  const name = `journal-${at}`;
  image(name);
  const connection = rbd.parseUrl(urlOf(name));
  const beforeJournal = (number: number) => {
    if (number === at) throw new Error('the journal is full');
  };
  const context = contextForTest({ beforeJournal });
  await expect(rbd.attach(connection, context)).rejects.toThrow('the journal is full');
  await rbd.detach(connection, context.journaled.at(-1) ?? {}, context);
  await expectNothing(name, context);
});

test('another image under the same name has another identity', async () => {
  image('v5');
  const connection = rbd.parseUrl(urlOf('v5'));
  const context = contextForTest({ access: 'write' });
  const { identity, built } = await attachFor(context, connection);
  ceph.rbd('mv', 'rbd/v5', 'rbd/was');
  image('v5', 2);
  expect((await rbd.observe(connection, built, context)).identity.names).not.toEqual(identity.names);
});

test('what can not be attached says why', async () => {
  image('v6');
  const whyNot = async (text: string, key?: string): Promise<string> => {
    const context = contextForTest();
    const connection = { ...rbd.parseUrl(text), ...(key === undefined ? {} : { key }) };
    const { code, message } = await faultOf(rbd.attach(connection, context));
    return `${code}: ${message}`;
  };
  expect(await whyNot(urlOf('nothing'))).toMatch(/^ATTACH_FAILED.*no such image/);
  expect(await whyNot(urlOf('v6').replace('rbd/v6', 'pool/v'))).toMatch(
    /^ATTACH_FAILED.*no such image, pool/,
  );
  expect(await whyNot(urlOf('v6').replace('/v6?', '/v6@s?'))).toMatch(/^ATTACH_FAILED.*no such image/);
  const { host, port } = ceph.mon;
  const mons = `rbd://rbd/v6?mons=${host}:${port}&id=backup`;
  expect(await whyNot(mons, ceph.keyOf('client.admin'))).toMatch(/^ATTACH_(DENIED|FAILED)/);
  expect(await whyNot(urlOf('v6').replace('id=backup', 'id=stranger'))).toMatch(/^ATTACH_DENIED/);
  expect(await whyNot(`rbd://rbd/v6?mons=127.0.0.1:9&id=backup`, ceph.keyOf('client.backup'))).toMatch(
    /^ATTACH_FAILED.*not answer/,
  );
});

test('an image is backed up by the daemon while it is used, and restored onto another one', async () => {
  const bytes = image('v7', 4);
  image('onto', 5);
  const daemon = await daemonForTest();
  await daemon.addVolume('v', urlOf('v7'));
  const { id } = await daemon.backUp('v');
  await daemon.done(daemon.call('backup.restore', { backup: id, target: urlOf('onto'), force: true }));
  const file = join(folderForTest(), 'onto');
  ceph.rbd('export', '--no-progress', 'rbd/onto', file);
  expect(firstDifference(readFileSync(file), bytes)).toBe(-1);
  expect(snapshotsOf('v7')).toBe('');
});

/** Ranges of noise written over the image, and what it holds then. */
function overwrite(name: string, bytes: Buffer, ...offsets: readonly number[]): Buffer {
  const changed = Buffer.from(bytes);
  for (const [seed, offset] of offsets.entries()) noise(MiB, 100 + seed).copy(changed, offset);
  const file = join(folderForTest(), 'changed');
  writeFileSync(file, changed);
  const to = { driver: 'raw', file: { driver: 'rbd', pool: 'rbd', image: name, conf: ceph.conf } };
  run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', file, `json:${JSON.stringify(to)}`);
  return changed;
}

test('a snapshot is backed up incrementally with what "rbd diff" says, and restored', async () => {
  const before = image('v11', 6);
  const daemon = await daemonForTest();
  await daemon.addVolume('v', urlOf('v11'));
  const snapshotAs = async (name: string) => {
    ceph.rbd('snap', 'create', '--no-progress', `rbd/v11@${name}`);
    const source = urlOf('v11').replace('v11?', `v11@${name}?`);
    await daemon.call('snapshot.add', { volume: 'v', name, source });
  };
  await snapshotAs('mon');
  await daemon.done(daemon.call('backup.create', { volume: 'v', snapshot: 'mon' }));
  const after = overwrite('v11', before, 3 * MiB, 20 * MiB);
  await snapshotAs('tue');
  overwrite('v11', after, 6 * MiB);
  const diff = ceph.rbd('diff', '--format', 'json', '--from-snap', 'mon', 'rbd/v11@tue');
  const words = ['backup', 'create', 'v', '--incremental', '--snapshot', 'tue', '--wait', '-f', 'json'];
  const file = join(daemon.folder, 'diff.json');
  writeFileSync(file, diff);
  const made = await daemon.basaltctl(...words, '--changed-extents', file);
  expect(made).toMatchObject({ status: 0 });
  const { id, read_bytes } = JSON.parse(made.stdout) as { id: string; read_bytes: number };
  expect(read_bytes).toBeLessThan(sizeBytes / 2);
  await expectRestores(daemon, id, after);
});

test('a store that stops to answer gives an error in set time', async () => {
  image('v8');
  const connection = rbd.parseUrl(urlOf('v8'));
  const tools = toolsWithout('nbdfuse');
  const { device, detach } = await attachFor(contextForTest({ tools }), connection);
  const file = await open(device, 'r');
  ceph.store.kill('SIGSTOP');
  try {
    const startedAtMs = performance.now();
    await expect(file.read(Buffer.alloc(4096), 0, 4096, 2 * MiB)).rejects.toThrow();
    expect(performance.now() - startedAtMs).toBeLessThan(10_000);
    expect((await faultOf(detach())).code).toBe('DEVICE_LEFT');
  } finally {
    ceph.store.kill('SIGCONT');
    // It comes back when it answers.
    ceph.rbd('info', 'rbd/v8');
    await file.close().catch(() => undefined);
  }
});
