/** Servers of NBD that take one client only, lie, fail, go away, come back as another one, or say nothing. */

import { open, readFile } from 'node:fs/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../daemon/base/bytes.ts';
import { nbdConnector } from '../../daemon/devices/connect/nbd/nbd.ts';
import { contextForTest, installed, toolsWithout } from '../support/connect.ts';
import { type Daemon, eventually } from '../support/daemon.ts';
import { faultOf } from '../support/devices.ts';
import { daemonForTest, expectRestores } from '../support/fault-world.ts';
import { type OddNbdOptions, serveOddNbd } from '../support/odd-nbd-server.ts';
import { firstDifference, noise } from '../support/volume-model.ts';

const nbd = nbdConnector({ everyMs: 200, limitMs: 2500 });
const sizeBytes = 8 * MiB;
const programs = ['nbdfuse', 'qemu-storage-daemon'] as const;

async function attachFor(url: string, options: Parameters<typeof contextForTest>[0]) {
  const context = contextForTest(options);
  const connection = nbd.parseUrl(url);
  const detach = () => nbd.detach(connection, context.journaled.at(-1) ?? {}, context);
  onTestFinished(detach);
  const attached = await nbd.attach(connection, context);
  return { ...attached, detach, observe: () => nbd.observe(connection, attached.built, context) };
}

describe.each(programs.filter(installed))('with %s', (program) => {
  const tools = toolsWithout(...programs.filter((other) => other !== program));

  test('a server of one client at a time is asked, read and looked at', async () => {
    const bytes = noise(sizeBytes, 1);
    const server = await serveOddNbd({ bytes, clientsMax: 1 });
    const { device, detach, observe } = await attachFor(server.url, { tools });
    expect(firstDifference(await readFile(device), bytes)).toBe(-1);
    expect((await observe()).identity.sizeBytes).toBe(sizeBytes);
    await detach();
    expect(server.seen.most).toBe(1);
  });

  test('what a server that has come back shows is never taken for what was attached', async () => {
    const server = await serveOddNbd({ bytes: noise(sizeBytes, 1) });
    const { device, observe } = await attachFor(server.url, { tools });
    const file = await open(device, 'r');
    const readAt = (position: number) => file.read(Buffer.alloc(4096), 0, 4096, position);
    await readAt(0);
    server.show(noise(sizeBytes, 2));
    for (const place of [1, 2, 3]) await expect(readAt(place * MiB)).rejects.toThrow();
    expect((await faultOf(observe())).message).toMatch(/nothing of it can be read|has ended/);
    await file.close().catch(() => undefined);
  });

  test('a server that says one size first and another one then is refused', async () => {
    const size = (client: number) => (client === 1 ? sizeBytes : sizeBytes / 2);
    const server = await serveOddNbd({ bytes: noise(sizeBytes, 1), size });
    const { message } = await faultOf(attachFor(server.url, { tools }));
    expect(message).toMatch(`it has ${sizeBytes / 2} bytes, and its server says ${sizeBytes}`);
  });
});

test('a size that no volume has is refused', async () => {
  const server = await serveOddNbd({ bytes: noise(MiB, 1), size: () => 2 ** 62 });
  expect((await faultOf(attachFor(server.url, {}))).message).toMatch(/and no volume has so many/);
});

const bad = { offset: 5 * MiB + 4096, length: 4096 };
const isBad = (offset: number, length: number): boolean =>
  offset < bad.offset + bad.length && bad.offset < offset + length;

/** A volume "v" behind a server whose reads come to what `read` says. */
async function daemonWith(options: OddNbdOptions) {
  const server = await serveOddNbd(options);
  const daemon = await daemonForTest();
  await daemon.addVolume('v', server.url);
  return { daemon, server };
}

async function expectNothingAttached(daemon: Daemon): Promise<void> {
  await eventually('it is detached', async () => (await daemon.call('device.list', {})).devices.length === 0);
  expect((await daemon.call('volume.show', { volume: 'v' })).status).toBe('available');
}

test('blocks that a server fails are named, and read around where that is wanted', async () => {
  const bytes = noise(sizeBytes, 3);
  const { daemon } = await daemonWith({
    bytes,
    clientsMax: 1,
    read: (offset, length) => (isBad(offset, length) ? 'error' : 'bytes'),
  });
  const job = await daemon.failed(daemon.call('backup.create', { volume: 'v' }), 'SOURCE_READ_FAILED');
  expect(job.result?.['unreadable']).toEqual([bad]);
  const { backup, job_id } = await daemon.call('backup.create', { volume: 'v', skip_errors: true });
  await daemon.done({ job_id });
  const { consistency } = await daemon.call('backup.show', { backup: backup.id });
  expect(consistency).toMatch(/^incomplete: 4096 bytes could not be read/);
  bytes.fill(0, bad.offset, bad.offset + bad.length);
  await expectRestores(daemon, backup.id, bytes);
  await expectNothingAttached(daemon);
});

test('a server that goes away in the middle fails the backup, whatever may be skipped, and keeps nothing', async () => {
  const read = (offset: number) => (offset > 4 * MiB ? 'hang up' : 'bytes');
  const { daemon } = await daemonWith({ bytes: noise(sizeBytes, 4), read });
  const begun = performance.now();
  const job = await daemon.ended(
    (await daemon.call('backup.create', { volume: 'v', skip_errors: true })).job_id,
  );
  expect(['SOURCE_READ_FAILED', 'DEVICE_FAILED']).toContain(job.fault?.code);
  expect(performance.now() - begun).toBeLessThan(30_000);
  await expectNothingAttached(daemon);
});

test('a backup whose server says nothing any more is cancelled at once, and nothing stays attached', async () => {
  let hanging = false;
  const read = (offset: number) => {
    hanging ||= offset > 4 * MiB;
    return hanging ? 'never' : 'bytes';
  };
  const bytes = noise(sizeBytes, 5);
  const { daemon, server } = await daemonWith({ bytes, read });
  const { job_id: job } = await daemon.call('backup.create', { volume: 'v' });
  await eventually('the server hangs', async () => hanging);
  const begun = performance.now();
  expect((await daemon.call('job.cancel', { job })).status).toBe('cancelled');
  expect(performance.now() - begun).toBeLessThan(1000);
  // Sooner than the daemon would give up on it, and only so that the test ends.
  server.show(bytes);
  await expectNothingAttached(daemon);
});
