/** A daemon that is killed while it attaches and detaches, again and again: the next one takes up or takes away what it finds. */

import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Daemon, eventually } from '../../support/daemon.ts';
import { daemonOfGuest, expectBytes, hostReady, MiB, remoteVolume } from '../support/remote.ts';

const cycles = 20;
const settleLimitMs = 180_000;

/** Ends it as a crash does, after a while or when the work is done, and starts the next one. */
async function killAfter(daemon: Daemon, work: Promise<unknown>, milliseconds: number): Promise<void> {
  const ended = work.catch(() => undefined);
  await Promise.race([ended, wait(milliseconds)]);
  await daemon.kill();
  await ended;
  await daemon.start();
}

/** Nothing is on its way any more. */
const settled = (daemon: Daemon) =>
  eventually(
    'what an earlier daemon attached is taken up or away',
    async () => {
      const { devices } = await daemon.call('device.list', {});
      return devices.every(({ status }) => status === 'attached' || status === 'error') ? devices : undefined;
    },
    settleLimitMs,
  );

test(`${cycles} attachments, with kills in between, and then nothing is left`, {
  timeout: 3_000_000,
}, async () => {
  await hostReady();
  const { url, bytes } = remoteVolume({ sizeBytes: 8 * MiB });
  const daemon = await daemonOfGuest();
  await daemon.addVolume('v', url);
  const attach = async () => daemon.ended((await daemon.call('device.attach', { volume: 'v' })).job_id);
  const detach = async (device: string) =>
    daemon.ended((await daemon.call('device.detach', { device, force: true })).job_id);
  let kills = 0;
  for (let cycle = 0; cycle < cycles; cycle += 1) {
    // Spread over everything that an attach does; each third cycle comes to its end.
    if (cycle % 3 === 2) await attach();
    else {
      await killAfter(daemon, attach(), ((cycle * 7) % cycles) * 300);
      kills += 1;
    }
    for (const { id } of await settled(daemon)) {
      if (cycle % 4 !== 1) await detach(id);
      else {
        await killAfter(daemon, detach(id), (cycle * 50) % 900);
        kills += 1;
      }
    }
  }
  expect(kills).toBeGreaterThan(cycles / 2);
  for (const { id } of await settled(daemon)) await detach(id);
  expect(await settled(daemon)).toEqual([]);
  expect((await daemon.call('device.list', { stale: true })).devices).toEqual([]);
  await expectBytes(daemon, await daemon.backUp('v'), bytes);
});
