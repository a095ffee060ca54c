/** Locks of this host: in order, also between two agents, and left at once by who is called off. */

import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { HostLocks } from '../../../daemon/jobs/attachments/host-locks.ts';
import { native } from '../../../native/native.ts';
import { folderForTest } from '../../support/devices.ts';

const never = new AbortController().signal;

/** A task that goes on until it is told. */
function longTask(locks: HostLocks, key: string): { ended: Promise<string>; end: () => void } {
  let end: () => void = () => undefined;
  const told = new Promise<void>((resolve) => {
    end = resolve;
  });
  const ended = locks.alone(key, never, async () => {
    await told;
    return 'ended';
  });
  return { ended, end };
}

test.each(['the same agent', 'another agent'])(
  'who waits for %s can be called off, and nobody behind is hurt',
  async (who) => {
    const folder = folderForTest();
    const first = new HostLocks(folder, native);
    const second = who === 'the same agent' ? first : new HostLocks(folder, native);
    const { ended, end } = longTask(first, 'session');
    await pause(20);
    const off = new AbortController();
    let began = false;
    const waiting = second.alone('session', off.signal, async () => {
      began = true;
    });
    const refused = expect(waiting).rejects.toThrow('called off');
    const behind = second.alone('session', never, async () => 'behind');
    await pause(100);
    off.abort(new Error('called off'));
    // It ends while the first one goes on.
    await refused;
    expect(await Promise.race([behind, pause(150, 'still waits')])).toBe('still waits');
    end();
    expect(await Promise.all([ended, behind])).toEqual(['ended', 'behind']);
    expect(began).toBe(false);
  },
);

test('who is called off before his turn never has it, though nobody is before him', async () => {
  const locks = new HostLocks(folderForTest(), native);
  const off = AbortSignal.abort(new Error('called off'));
  await expect(locks.alone('session', off, async () => 'had it')).rejects.toThrow('called off');
  expect(await locks.alone('session', never, async () => 'next')).toBe('next');
});
