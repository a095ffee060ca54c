/** Whether a device that becomes another one is noticed in time: by its ways, however slow some are, and before too much is written. */

import { expect, test } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import type { AskablePath } from '../../../daemon/devices/connect/connector.ts';
import { Glances } from '../../../daemon/jobs/attachments/glances.ts';
import { gateOf, whileSame } from '../../../daemon/jobs/same-device.ts';

const wanted = { names: ['naa.6001'], serial: null };
const ever = new AbortController().signal;

interface FakePath extends AskablePath {
  /** What it says; null: it hangs until `answer` is called. */
  name: string | null;
  asked: number;
  answer: () => void;
}

function pathOf(device: string, name: string | null = 'naa.6001'): FakePath {
  const path: FakePath = {
    via: `way to ${device}`,
    device,
    name,
    asked: 0,
    answer: () => undefined,
    ask: async () => {
      path.asked += 1;
      if (path.name === null)
        await new Promise<void>((resolve) => {
          path.answer = resolve;
        });
      if (path.name === 'silent') throw new Error('it does not answer');
      return { names: [path.name ?? ''], serial: null };
    },
  };
  return path;
}

const glancesAt = (...paths: FakePath[]) =>
  new Glances({ url: 'fake://a', wanted, paths: async () => paths, graceMs: 20 });
const wrong = expect.objectContaining({ code: 'WRONG_DEVICE' });

test('a look counts when one way has answered, and says at once that another one leads elsewhere', async () => {
  const [one, other] = [pathOf('/dev/sda'), pathOf('/dev/sdb', 'silent')];
  const glances = glancesAt(one, other);
  expect(await glances.look()).toBe(true);
  one.name = 'silent';
  expect(await glances.look()).toBe(false);
  other.name = 'naa.6002';
  await expect(glances.look()).rejects.toEqual(wrong);
  other.name = 'naa.6001';
  await expect(glances.look()).rejects.toEqual(wrong);
});

test('a way that hangs holds up no look, is asked once, and is believed when it answers', async () => {
  const [one, other] = [pathOf('/dev/sda'), pathOf('/dev/sdb', null)];
  const glances = glancesAt(one, other);
  expect(await glances.look()).toBe(true);
  expect(await glances.look()).toBe(true);
  expect([one.asked, other.asked]).toEqual([2, 1]);
  other.name = 'naa.6002';
  other.answer();
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(() => glances.throwIfWrong()).toThrow(/on the path way to \/dev\/sdb it calls itself naa.6002/);
});

test('a disk that has got the name of a path that went is nobody, and one that took its place is another', async () => {
  const [one, other] = [pathOf('/dev/sda'), pathOf('/dev/sdb', 'naa.6002')];
  let paths = [one, other];
  const asked = async () => {
    const now = paths;
    paths = [one];
    return now;
  };
  const glances = new Glances({ url: 'fake://a', wanted, paths: asked, graceMs: 20 });
  expect(await glances.look()).toBe(true);
  expect(await glances.look()).toBe(true);
  // A path that was listed as one of the map is listed by its port again.
  let asks = 0;
  const renamed = async () => [one, { ...other, via: `way ${(asks += 1)}` }];
  const stays = new Glances({ url: 'fake://a', wanted, paths: renamed, graceMs: 20 });
  await expect(stays.look()).rejects.toEqual(wrong);
});

test('who asks while a look is under way has one that began after he asked', async () => {
  const path = pathOf('/dev/sda', null);
  const glances = glancesAt(path);
  const early = glances.look();
  await new Promise((resolve) => setTimeout(resolve, 0));
  const late = [glances.look(), glances.look()];
  path.name = 'naa.6001';
  path.answer();
  expect(await Promise.all([early, ...late])).toEqual([true, true, true]);
  expect(path.asked).toBe(2);
});

test('no more is written between two looks than the limit, whatever is under way', async () => {
  let [begun, ended, seen, most] = [0, 0, 0, 0];
  const path = pathOf('/dev/sda');
  const ask = async () => {
    // What ends after this may have gone to another volume.
    const endedBefore = ended;
    await new Promise((resolve) => setTimeout(resolve, 2));
    seen = Math.max(seen, endedBefore);
    path.asked += 1;
    return wanted;
  };
  const glances = glancesAt({ ...path, ask });
  const gate = gateOf('fake://a', glances, { bytesMax: 64, patienceMs: 1000 });
  const write = async (bytes: number) => {
    const passed = await gate.pass(bytes, ever);
    begun += bytes;
    most = Math.max(most, begun - seen);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 4));
    ended += bytes;
    passed();
  };
  await Promise.all(
    Array.from({ length: 5 }, async () => {
      for (let n = 0; n < 40; n += 1) await write(n % 8 === 0 ? 32 : 8);
    }),
  );
  expect(most).toBeLessThanOrEqual(64);
  // Not one look a write either.
  expect(path.asked).toBeLessThan(200);
});

test('a gate lets nothing through to another volume, and does not wait for ever for one that is silent', async () => {
  const path = pathOf('/dev/sda', 'silent');
  const gate = gateOf('fake://a', glancesAt(path), { bytesMax: 10, patienceMs: 30 });
  (await gate.pass(10, ever))();
  await expect(gate.pass(1, ever)).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
  const given = new AbortController();
  given.abort(new Fault('CANCELLED', 'Cancelled by request'));
  await expect(gate.pass(1, given.signal)).rejects.toMatchObject({ code: 'CANCELLED' });
  path.name = 'naa.6001';
  (await gate.pass(1, ever))();
  path.name = 'naa.6002';
  await expect(gate.pass(10, ever)).rejects.toEqual(wrong);
  await expect(gate.pass(1, ever)).rejects.toEqual(wrong);
});

test('a gate that waits for writes on their way asks now and then, and forgets who was silent before', async () => {
  const path = pathOf('/dev/sda');
  const gate = gateOf('fake://a', glancesAt(path), { bytesMax: 10, patienceMs: 100 });
  const passed = await gate.pass(10, ever);
  const next = gate.pass(10, ever);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(path.asked).toBeLessThan(30);
  // Silent longer after the begin than it has patience, and for the first time.
  path.name = 'silent';
  const endedAt = performance.now();
  passed();
  await new Promise((resolve) => setTimeout(resolve, 40));
  path.name = 'naa.6001';
  (await next)();
  expect(performance.now() - endedAt).toBeLessThan(500);
});

test('who is cancelled does not wait for a path that hangs', async () => {
  const path = pathOf('/dev/sda', null);
  const gate = gateOf('fake://a', glancesAt(path), { bytesMax: 10, patienceMs: 60_000 });
  (await gate.pass(10, ever))();
  const given = new AbortController();
  const waits = gate.pass(1, given.signal);
  given.abort(new Fault('CANCELLED', 'Cancelled by request'));
  await expect(waits).rejects.toMatchObject({ code: 'CANCELLED' });
  path.name = 'naa.6001';
  path.answer();
});

test('a daemon that stops has its last writes through, but waits for no device that is silent', async () => {
  const path = pathOf('/dev/sda');
  const gate = gateOf('fake://a', glancesAt(path), { bytesMax: 10, patienceMs: 60_000 });
  const stops = AbortSignal.abort(new Fault('INTERRUPTED', 'The daemon stops'));
  for (const bytes of [10, 10]) (await gate.pass(bytes, stops))();
  path.name = 'silent';
  await expect(gate.pass(10, stops)).rejects.toMatchObject({ code: 'INTERRUPTED' });
});

test('a job is told within two seconds', async () => {
  const path = pathOf('/dev/sda');
  const hold = { glances: glancesAt(path), verify: () => Promise.reject(new Error('it is not asked')) };
  const begun = performance.now();
  const use = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  path.name = 'naa.6002';
  await expect(whileSame(hold, ever, use)).rejects.toEqual(wrong);
  expect(performance.now() - begun).toBeLessThan(2_000);
});

test.each(['SOURCE_READ_FAILED', 'SOURCE_CHANGED', 'TARGET_WRITE_FAILED'] as const)(
  '%s because another volume is there now is told as such, and as itself otherwise',
  async (code) => {
    const failure = new Fault(code, 'Cannot use "/dev/nvme0n1"');
    const other = new Fault('WRONG_DEVICE', 'Refused to use "nvme://…"');
    const ended = (seen: Fault) =>
      whileSame({ verify: () => Promise.reject(seen), glances: undefined }, ever, () =>
        Promise.reject(failure),
      );
    await expect(ended(other)).rejects.toBe(other);
    await expect(ended(new Fault('DEVICE_FAILED', 'no answer'))).rejects.toBe(failure);
  },
);
