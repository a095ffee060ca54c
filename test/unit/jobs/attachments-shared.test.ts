/** Several users of the same devices at the same time: none of them meets what happens to another one. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, expect, test } from 'vitest';
import type { Hold } from '../../../daemon/jobs/attachments/attachments.ts';
import { type AttachmentWorld, attachmentWorld, Life } from '../../support/attachment-world.ts';
import { faultOf } from '../../support/devices.ts';
import { steps } from '../../support/fake-connector.ts';

let world: AttachmentWorld;
beforeEach(() => {
  world = attachmentWorld();
});

const isThere = (name: string): boolean => existsSync(join(world.storage.folder, 'host', `${name}.img`));

test.each(steps.slice(0, 5))('the first of two fails at "%s": the second has the device', async (broken) => {
  const { storage, acquire } = world;
  let failed = false;
  storage.before = (step) => {
    if (failed || step !== broken) return;
    failed = true;
    throw new Error('the storage said no');
  };
  const [first, second] = await Promise.allSettled([acquire('a', 'one'), acquire('a', 'two')]);
  expect(first.status).toBe('rejected');
  if (second.status === 'rejected') throw second.reason;
  expect(isThere('a')).toBe(true);
  await second.value.verify();
  await second.value.release();
  expect(storage.left()).toEqual([]);
});

test('the first of two is called off, or wants another device: the second has it, attached once more or still', async () => {
  const { storage, acquire } = world;
  const given = new AbortController();
  storage.before = (step) => {
    if (step === 'login') given.abort(new Error('enough'));
  };
  const off = acquire('a', 'one', { signal: given.signal });
  const second = acquire('a', 'two');
  await faultOf(off);
  const hold = await second;
  expect(isThere('a')).toBe(true);
  storage.before = () => undefined;
  const wanted = { names: ['naa.other'], serial: null };
  expect(await faultOf(acquire('a', 'three', { wanted }))).toMatchObject({ code: 'WRONG_DEVICE' });
  expect(isThere('a')).toBe(true);
  await hold.verify();
  await hold.release();
  expect(storage.left()).toEqual([]);
});

/** The same numbers at each run. */
function numbersFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test('fifty rounds of users who come and go on two devices, with failures, and a new daemon in between', async () => {
  const { storage, another, acquire } = world;
  const random = numbersFrom(7);
  let life = new Life();
  let daemon = another(life);
  let hung = 0;
  let kills = 0;
  const lives: Life[] = [life];
  storage.before = async (step, { tools }) => {
    const own = lives.find((one) => one.tools === tools);
    await pause(random() * 3);
    if (own?.ended === true) {
      hung += 1;
      await new Promise(() => undefined);
    }
    if (random() < 0.05) throw new Error(`no ${step} today`);
  };
  let held = new Map<string, { name: string; hold: Hold }>();
  const turn = async (user: string, owner: typeof daemon) => {
    const mine = held.get(user);
    if (mine !== undefined) {
      held.delete(user);
      return mine.hold.release();
    }
    const name = random() < 0.5 ? 'a' : 'b';
    const access = random() < 0.2 ? 'write' : 'read';
    const hold = await acquire(name, user, { access }, owner).catch(() => undefined);
    if (hold !== undefined && owner === daemon) held.set(user, { name, hold });
  };
  for (let round = 0; round < 50; round += 1) {
    const turns = ['one', 'two', 'three', 'four'].map((user) => turn(user, daemon));
    if (round % 7 === 6) {
      await pause(random() * 10);
      await life.end();
      kills += 1;
      life = new Life();
      lives.push(life);
      daemon = another(life);
      held = new Map();
      await daemon.inherit(() => false);
      await daemon.settle();
      // What the storage has refused stands there, and goes when it is asked again.
      for (const { id } of daemon.list()) await again(() => daemon.detach(id, true, () => undefined));
      expect(daemon.list()).toEqual([]);
      expect(storage.left()).toEqual([]);
      continue;
    }
    await Promise.all(turns);
    for (const { name } of held.values()) expect(isThere(name)).toBe(true);
    const records = daemon.list().filter(({ status }) => status === 'attached');
    expect(records.flatMap(({ users }) => users.map(({ id }) => id)).sort()).toEqual([...held.keys()].sort());
  }
  expect(kills).toBe(7);
  expect(hung).toBeGreaterThan(0);
  storage.before = () => undefined;
  await Promise.all([...held.values()].map(({ hold }) => hold.release()));
  for (const { id } of daemon.list()) await daemon.detach(id, true, () => undefined);
  expect(storage.left()).toEqual([]);
});

async function again(task: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; tries < 10; tries += 1) {
    try {
      await task();
      return;
    } catch (thrown) {
      if (tries === 9) throw thrown;
    }
  }
}
